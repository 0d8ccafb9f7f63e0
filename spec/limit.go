package spec

import "fmt"

const (
	day             = 24 * 60 // minutes
	defaultPipeline = 60      // minutes a pipeline may run when the file does not say
)

// minutes returns a time limit, 0 when there is none that makes sense.
func minutes(v *value) int {
	limit := v.get("execution_time_limit")
	if m := limit.get("minutes"); m != nil && m.kind == integer {
		return max(0, m.int())
	}
	if h := limit.get("hours"); h != nil && h.kind == integer {
		return max(0, min(h.int(), 1<<24)) * 60
	}
	return 0
}

// longest returns the item with the highest limit.
func longest(items []*value) (*value, int) {
	var which *value
	most := 0
	for _, it := range items {
		if m := minutes(it); m > most {
			which, most = it, m
		}
	}
	return which, most
}

// timeLimits checks that no limit is cut short by one around it. Later blocks and jobs matter as little as earlier
// ones: the longest decides.
func (c *checker) timeLimits(root *value) {
	blocks := root.list("blocks")
	var slowJob *value
	slowJobTime := 0
	for _, b := range blocks {
		jobs := b.get("task").list("jobs")
		job, jobTime := longest(jobs)
		if jobTime > slowJobTime {
			slowJob, slowJobTime = job, jobTime
		}
		blockTime := minutes(b)
		for _, j := range jobs {
			if m := minutes(j); m > day {
				c.limit(SeverityWarning, j, "", "no job may run longer than 24 hours, so this limit of %s counts as 24 hours", duration(m))
			}
		}
		switch {
		case blockTime > day && jobTime < day:
			c.limit(SeverityError, b, fmt.Sprintf("The execution_time_limit of a block on path '%s' is set to %s which is longer than default job level "+
				"execution_time_limit of 24 hours. This would cause the block to stop as soon as first job reaches that default time limit for jobs.", b.path(), duration(blockTime)),
				"the block may run %s, but no job may run longer than 24 hours; lower the limit of the block", duration(blockTime))
		case blockTime > 0 && blockTime < jobTime:
			c.limit(SeverityError, job, fmt.Sprintf("Job on path '%s' has an execution_time_limit of %s which is longer than %s that is the execution_time_limit of a "+
				"block to which this job belongs. This would cause that job to stop when block level time limit is reached.", job.path(), duration(jobTime), duration(blockTime)),
				"the job may run %s, but its block only %s; lower the one or raise the other", duration(jobTime), duration(blockTime))
		}
	}
	total, isDefault := minutes(root), ""
	if total == 0 {
		total, isDefault = defaultPipeline, " (which is what it has when it says nothing)"
	}
	block, blockTime := longest(blocks)
	switch {
	case total < blockTime:
		c.limit(SeverityError, block, fmt.Sprintf("Block on path '%s' has an execution_time_limit of %s which is longer than execution_time_limit of a whole pipeline "+
			"which is %s. This would cause that block to stop when pipeline level time limit is reached.", block.path(), duration(blockTime), duration(total)),
			"the block may run %s, but the whole pipeline only %s%s; lower the one or raise the other", duration(blockTime), duration(total), isDefault)
	case total < slowJobTime:
		c.limit(SeverityError, slowJob, fmt.Sprintf("Job on path '%s' has an execution_time_limit of %s which is longer than execution_time_limit of a whole pipeline "+
			"which is %s. This would cause that job to stop when pipeline level time limit is reached.", slowJob.path(), duration(slowJobTime), duration(total)),
			"the job may run %s, but the whole pipeline only %s%s; lower the one or raise the other", duration(slowJobTime), duration(total), isDefault)
	case total > day && slowJobTime < day:
		c.limit(SeverityError, root, fmt.Sprintf("The pipeline level execution_time_limit is set to %s which is longer than default job level execution_time_limit of "+
			"24 hours. This would cause the pipeline to stop as soon as first job reaches that default time limit for jobs.", duration(total)),
			"the pipeline may run %s, but no job may run longer than 24 hours; lower the limit of the pipeline", duration(total))
	}
}

func (c *checker) limit(s Severity, holder *value, code, format string, args ...any) {
	l := holder.get("execution_time_limit")
	c.problem(s, l.keyAt, holder.path(), code, format, args...)
}

// duration writes minutes as people do.
func duration(m int) string {
	plural := func(n int, unit string) string {
		if n == 1 {
			return "1 " + unit
		}
		return itoa(n) + " " + unit + "s"
	}
	switch {
	case m < 60:
		return plural(m, "minute")
	case m%60 == 0:
		return plural(m/60, "hour")
	}
	return plural(m/60, "hour") + " and " + plural(m%60, "minute")
}
