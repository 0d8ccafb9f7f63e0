package spec

// table is the whole pipeline file. To add a key, add its row here and the line that uses it in compile.go.
var table = []object{
	{
		name: "pipeline", place: "the pipeline", doc: "The top level of the file.",
		keys: []key{
			{name: "version", kind: text, doc: "Always `v1.0`."},
			{name: "name", kind: text, doc: "What the pipeline is called; `Pipeline` when absent."},
			{name: "agent", kind: mapping, object: "agent", required: true, doc: "Where jobs run, unless their task says otherwise."},
			{name: "blocks", kind: list, object: "block", required: true, min: 1, max: 300, doc: "The steps of the pipeline."},
			{name: "execution_time_limit", kind: mapping, object: "limit", doc: "How long the whole pipeline may run."},
			{name: "fail_fast", kind: mapping, object: "fail_fast", doc: "What to end early when a block fails."},
			{name: "auto_cancel", kind: mapping, object: "auto_cancel", doc: "When a newer pipeline ends an older one."},
			{name: "queue", kind: list | mapping, object: "queue", min: 1, doc: "Which pipelines wait for each other."},
			{name: "global_job_config", kind: mapping, object: "global_job_config", doc: "What all jobs of all blocks share."},
			{name: "after_pipeline", kind: mapping, object: "after_pipeline", doc: "Jobs that run when the pipeline is done."},
			{name: "promotions", kind: list, object: "promotion", min: 1, doc: "Pipelines that may follow this one."},
			{name: "partial_rerun", kind: text, enum: []string{"jobs", "block"}, doc: "What a rerun of failed jobs repeats."},
		},
	},
	{
		name: "agent", place: "an agent", doc: "The kind of agent that runs a job. An agent of a task replaces the pipeline's agent as a whole.",
		keys: []key{
			{name: "machine", kind: mapping, object: "machine", required: true, doc: "The agent type."},
			{name: "containers", kind: list, object: "container", doc: "Containers that run the job."},
			{name: "image_pull_secrets", kind: list, object: "pull_secret", doc: "Credentials for the images."},
		},
	},
	{
		name: "machine", place: "a machine", doc: "Names an agent type.",
		keys: []key{
			{name: "type", kind: text, required: true, min: 1, doc: "The name of the agent type."},
			{name: "os_image", kind: text, doc: "An image of the machine; it means nothing for agent types that begin with `s1-`."},
		},
	},
	{
		name: "container", place: "a container", doc: "One container; the first one runs the commands.",
		keys: []key{
			{name: "name", kind: text, required: true, doc: "Its host name."},
			{name: "image", kind: text, required: true, doc: "The image to start."},
			{name: "command", kind: text, doc: "Replaces the image's command."},
			{name: "entrypoint", kind: text, doc: "Replaces the image's entry point."},
			{name: "user", kind: text, doc: "The user inside."},
			{name: "env_vars", kind: list, object: "env_var", max: 10000, doc: "Variables inside."},
			{name: "secrets", kind: list, object: "secret", doc: "Secrets inside."},
		},
	},
	{
		name: "pull_secret", place: "an image pull secret", doc: "Names a secret.",
		keys: []key{{name: "name", kind: text, required: true, doc: "The name of the secret."}},
	},
	{
		name: "block", place: "a block", doc: "One step of the pipeline.",
		oneOf: []string{"task", "task_file"},
		apart: [][]string{{"skip", "run"}, {"skip", "filters"}, {"run", "filters"}},
		keys: []key{
			{name: "name", kind: text, min: 1, doc: "Unique in the pipeline; `Nameless block N` when absent."},
			{name: "dependencies", kind: list, item: text, doc: "Names of the blocks that must pass first. Either every block has this key or none; without it the blocks run one after another."},
			{name: "task", kind: mapping, object: "task", doc: "The jobs of the block."},
			{name: "task_file", kind: text, doc: "A file that holds the task."},
			{name: "skip", kind: mapping, object: "condition", doc: "When to leave the block out."},
			{name: "run", kind: mapping, object: "condition", doc: "When to run the block."},
			{name: "execution_time_limit", kind: mapping, object: "limit", doc: "How long the block may run."},
			{name: "partial_rerun", kind: text, enum: []string{"jobs", "block"}, doc: "What a rerun of failed jobs repeats."},
			{name: "filters", kind: list, object: "filter", doc: "The old form of `run` and `skip`."},
		},
	},
	{
		name: "condition", place: "a condition", doc: "A condition under `when`.",
		keys: []key{whenKey(true)},
	},
	{
		name: "filter", place: "a filter", doc: "The old form of a condition.",
		oneOf: []string{"label", "label_pattern"},
		keys: []key{
			{name: "label", kind: text, doc: "A branch, exactly."},
			{name: "label_pattern", kind: text, doc: "A pattern for branches."},
			{name: "action", kind: text, required: true, enum: []string{"skip", "execute"}, doc: "What happens on a match."},
		},
	},
	{
		name: "task", place: "a task", doc: "Jobs that run side by side, and what they share.",
		oneOf: []string{"jobs", "boosters"},
		keys: []key{
			{name: "jobs", kind: list, object: "job", min: 1, max: 50, doc: "The jobs; they start together."},
			{name: "agent", kind: mapping, object: "agent", doc: "Where these jobs run."},
			{name: "prologue", kind: mapping, object: "commands", doc: "Commands before those of every job, in the same shell."},
			{name: "epilogue", kind: mapping, object: "epilogue", doc: "Commands after those of every job."},
			{name: "env_vars", kind: list, object: "env_var", max: 10000, doc: "Variables of every job."},
			{name: "secrets", kind: list, object: "secret", doc: "Secrets of every job."},
			{name: "fail_fast", kind: mapping, object: "fail_fast", doc: "What to end early when a job fails."},
			{name: "boosters", kind: list, object: "booster", later: "write the jobs out, under jobs", doc: "Generated test jobs of an older product."},
		},
	},
	{
		name: "booster", place: "a booster", doc: "Generated test jobs of an older product.",
		keys: []key{
			{name: "type", kind: text, required: true, enum: []string{"rspec", "cucumber"}, doc: "The test tool."},
			{name: "job_count", kind: integer, doc: "How many jobs."},
			{name: "name", kind: text, doc: "Their name."},
		},
	},
	{
		name: "commands", place: "a prologue or a part of an epilogue", doc: "A list of commands.",
		oneOf: []string{"commands", "commands_file"},
		keys:  []key{commandsKey(), commandsFileKey()},
	},
	{
		name: "epilogue", place: "an epilogue", doc: "Commands after those of a job: always, by its result, or a bare `commands`, which means always.",
		anyOf: []string{"always", "on_pass", "on_fail", "commands", "commands_file"},
		apart: [][]string{
			{"commands", "commands_file"},
			{"commands", "always"},
			{"commands", "on_pass"},
			{"commands", "on_fail"},
			{"commands_file", "always"},
			{"commands_file", "on_pass"},
			{"commands_file", "on_fail"},
		},
		keys: []key{
			{name: "always", kind: mapping, object: "commands", doc: "Runs first, whatever the result."},
			{name: "on_pass", kind: mapping, object: "commands", doc: "Runs when the job passed."},
			{name: "on_fail", kind: mapping, object: "commands", doc: "Runs when the job failed."},
			commandsKey(), commandsFileKey(),
		},
	},
	{
		name: "secret", place: "a secret", doc: "Names a secret.",
		keys: []key{
			{name: "name", kind: text, required: true, doc: "The name of the secret."},
			{name: "env_var_names", kind: list, item: text, doc: "Has no effect."},
			{name: "config_file_paths", kind: list, item: text, doc: "Has no effect."},
		},
	},
	{
		name: "env_var", place: "an environment variable", doc: "One environment variable. Later ones win: those of a job over those of its task.",
		keys: []key{
			{name: "name", kind: text, required: true, doc: "Its name."},
			{name: "value", kind: text, required: true, doc: "Its value. Quote numbers and `true`, because they must be text."},
		},
	},
	{
		name: "job", place: "a job", doc: "A list of commands that runs on one agent.",
		oneOf: []string{"commands", "commands_file"},
		apart: [][]string{{"matrix", "parallelism"}},
		keys: []key{
			{name: "name", kind: text, min: 1, doc: "Unique in the block; `Nameless N` when absent."},
			commandsKey(), commandsFileKey(),
			{name: "env_vars", kind: list, object: "env_var", max: 10000, doc: "Variables of this job."},
			{name: "priority", kind: list, object: "priority", doc: "Which jobs get an agent first."},
			{name: "matrix", kind: list, object: "matrix", doc: "Repeats the job for all combinations of values."},
			{name: "parallelism", kind: integer | text, min: 1, max: 50, role: template, doc: "Repeats the job so that each one can take a part of the work."},
			{name: "execution_time_limit", kind: mapping, object: "limit", doc: "How long the job may run; 24 hours when absent, and at most."},
			{name: "retry", kind: mapping, object: "retry", doc: "Runs the job again when its end was not its own fault."},
		},
	},
	{
		name: "retry", place: "a retry", doc: "When to run a job again by itself.",
		keys: []key{
			{name: "on", kind: list, item: text, required: true, min: 1, doc: "The reasons: " + quoteAll(RetryReasons) + "."},
			{name: "limit", kind: integer, min: 1, max: 10, doc: "How often at most; once when absent."},
		},
	},
	{
		name: "priority", place: "a priority", doc: "A value and when it counts.",
		keys: []key{
			{name: "value", kind: integer, required: true, min: 0, max: 100, doc: "Higher goes first."},
			whenKey(true),
		},
	},
	{
		name: "matrix", place: "a matrix variable", doc: "One variable of a matrix.",
		keys: []key{
			{name: "env_var", kind: text, required: true, min: 1, doc: "The name of the variable."},
			{name: "values", kind: list | text, item: text, required: true, min: 1, role: template, doc: "Its values."},
		},
	},
	{
		name: "limit", place: "a time limit", doc: "A time limit.",
		oneOf: []string{"minutes", "hours"},
		keys: []key{
			{name: "minutes", kind: integer, min: 1, doc: "In minutes."},
			{name: "hours", kind: integer, min: 1, doc: "In hours."},
		},
	},
	{
		name: "fail_fast", place: "fail_fast", doc: "When to end work early.",
		anyOf: []string{"stop", "cancel"},
		keys: []key{
			{name: "stop", kind: mapping, object: "condition", doc: "When to stop what runs."},
			{name: "cancel", kind: mapping, object: "condition", doc: "When to cancel what waits."},
		},
	},
	{
		name: "auto_cancel", place: "auto_cancel", doc: "When a newer pipeline ends an older one.",
		anyOf: []string{"running", "queued"},
		keys: []key{
			{name: "running", kind: mapping, object: "condition", doc: "When running ones end too."},
			{name: "queued", kind: mapping, object: "condition", doc: "When waiting ones end."},
		},
	},
	{
		name: "queue", place: "a queue", doc: "Which pipelines wait for each other.",
		anyOf: []string{"name", "processing"},
		keys: []key{
			{name: "name", kind: text, min: 1, doc: "Its name."},
			{name: "scope", kind: text, enum: []string{"project", "organization"}, doc: "Who shares it."},
			{name: "processing", kind: text, enum: []string{"serialized", "parallel"}, doc: "One after another, or at once."},
			whenKey(false),
		},
	},
	{
		name: "global_job_config", place: "global_job_config", doc: "What all jobs of all blocks share.",
		anyOf: []string{"prologue", "epilogue", "secrets", "env_vars", "priority"},
		keys: []key{
			{name: "prologue", kind: mapping, object: "commands", doc: "Before the prologue of every task."},
			{name: "epilogue", kind: mapping, object: "epilogue", doc: "After the epilogue of every task."},
			{name: "secrets", kind: list, object: "secret", doc: "Before the secrets of every task."},
			{name: "env_vars", kind: list, object: "env_var", max: 10000, doc: "Before the variables of every task."},
			{name: "priority", kind: list, object: "priority", doc: "After the priorities of every job."},
		},
	},
	{
		name: "after_pipeline", place: "after_pipeline", doc: "Jobs that run when the pipeline is done.",
		oneOf: []string{"task", "task_file"},
		keys: []key{
			{name: "task", kind: mapping, object: "task", doc: "The jobs."},
			{name: "task_file", kind: text, doc: "A file that holds the task."},
		},
	},
	{
		name: "promotion", place: "a promotion", doc: "A pipeline that may follow this one.",
		keys: []key{
			{name: "name", kind: text, required: true, min: 1, doc: "Unique in the pipeline."},
			{name: "pipeline_file", kind: text, required: true, doc: "Its file."},
			{name: "auto_promote", kind: mapping, object: "condition", doc: "When it starts by itself."},
			{name: "auto_promote_on", kind: list, object: "auto_promote_on", doc: "The old form of auto_promote."},
			{name: "parameters", kind: mapping, object: "parameters", doc: "What must be told when it starts."},
			{name: "deployment_target", kind: text, min: 1, doc: "The place it deploys to: who may start it, and what its jobs get; the project must have it."},
		},
	},
	{
		name: "auto_promote_on", place: "an item of auto_promote_on", doc: "The old form of a condition.",
		apart: [][]string{{"branch", "labels"}, {"branch", "label_patterns"}, {"labels", "label_patterns"}},
		keys: []key{
			{name: "result", kind: text, required: true, doc: "The result of this pipeline."},
			{name: "result_reason", kind: text, doc: "Why it ended so."},
			{name: "branch", kind: list, item: text, doc: "Patterns for the branch."},
			{name: "labels", kind: list, item: text, doc: "Branches, exactly."},
			{name: "label_patterns", kind: list, item: text, doc: "Patterns for the branch."},
		},
	},
	{
		name: "parameters", place: "parameters", doc: "What must be told when a promotion starts.",
		keys: []key{{name: "env_vars", kind: list, object: "parameter", required: true, doc: "The parameters."}},
	},
	{
		name: "parameter", place: "a parameter", doc: "One parameter.",
		keys: []key{
			{name: "name", kind: text, required: true, doc: "The variable that holds it."},
			{name: "options", kind: list, item: text, doc: "Allowed values."},
			{name: "required", kind: boolean, doc: "Whether it must be given."},
			{name: "default_value", kind: text, doc: "Its value when none is given."},
			{name: "description", kind: text, doc: "Shown to whoever starts it."},
		},
	},
}

func whenKey(required bool) key {
	return key{name: "when", kind: text | boolean, min: 1, required: required, role: condition, doc: "The condition."}
}

func commandsKey() key {
	return key{name: "commands", kind: list, item: text, role: commands, doc: "Shell commands; the first that fails ends the list."}
}

func commandsFileKey() key {
	return key{name: "commands_file", kind: text, doc: "A file with one command per line, relative to the pipeline file, or from the root of the repository with a leading `/`."}
}
