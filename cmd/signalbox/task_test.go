package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTaskCommands(t *testing.T) {
	s := newStation(t)
	s.expect(0, "", "project", "create", "demo", "--git", s.repo)
	s.expect(1, "name the task as PROJECT/NAME", "task", "create", "nightly", "--at", "@daily")
	s.expect(1, "when does it run", "task", "create", "demo/nightly")
	s.expect(1, "exclude each other", "task", "create", "demo/nightly", "--at", "@daily", "--by-hand")
	s.expect(1, `Invalid cron expression in 'at' field: the hour "25"`, "task", "create", "demo/nightly", "--at", "0 25 * * *")
	s.expect(2, "there is no project nope", "task", "create", "nope/nightly", "--at", "@daily")
	s.expect(2, `has no task "nightly": it has none; make one with`, "task", "show", "demo/nightly")
	s.expect(0, `^Task nightly runs next at \d{4}-\d\d-\d\d \d\d:\d\d UTC \(0 3 \* \* \* Europe/Berlin\)\.\n$`,
		"task", "create", "demo/nightly", "--at", "0 3 * * *", "--time-zone", "Europe/Berlin", "--param", "LEVEL=1", "--description", "every night")
	s.expect(1, "already", "task", "create", "demo/nightly", "--at", "@daily")
	s.expect(0, "runs when somebody asks for it", "task", "create", "demo/by hand", "--by-hand")
	s.expect(0, `NAME +WHEN +NEXT RUN +ON +PIPELINE +ID\nby hand +by hand +- +main .*nightly +0 3 \* \* \* Europe/Berlin +\d{4}-.* UTC +main +.semaphore/semaphore.yml `, "task", "list", "demo")
	s.expect(2, `has no task "x": it has "by hand", "nightly"`, "task", "delete", "demo/x")
	s.expect(1, "is no task: write PROJECT/NAME", "task", "delete", "x")
	s.expect(0, "Task nightly is paused", "task", "pause", "demo/nightly")
	s.expect(0, `Next run +paused\n.*About +every night.*Paused +\d.* by server\nParameter +LEVEL = 1\n\nIt has not run yet`, "task", "show", "demo/nightly")
	s.expect(0, "runs next at", "task", "resume", "demo/nightly")
	s.expect(1, "nothing to change", "task", "edit", "demo/nightly")
	s.expect(0, `\(0 4 \* \* \* UTC\)`, "task", "edit", "demo/nightly", "--at", "0 4 * * *", "--time-zone", "UTC", "--param", "LEVEL=2", "--param", "TARGET=a,b")

	var started struct {
		Workflow string `json:"workflow_id"`
	}
	s.expect(1, "has no parameter NOPE", "task", "run", "demo/nightly", "--param", "NOPE=1")
	s.expect(1, "must be NAME=VALUE", "task", "run", "demo/nightly", "--param", "NOPE")
	s.expect(1, "Branch 'nope' does not exist in the repository", "task", "run", "demo/nightly", "--branch", "nope")
	s.ok(&started, "task", "run", "demo/nightly", "--param", "LEVEL=x,y")
	s.expect(0, started.Workflow+` +main .* manual_run `, "workflow", "list", "demo")
	s.expect(10, "malformed", "task", "run", "demo/nightly", "--file", ".semaphore/broken.yml", "--follow")
	var shown struct {
		Task task      `json:"task"`
		Runs []taskRun `json:"runs"`
	}
	s.ok(&shown, "task", "show", "demo/nightly")
	if shown.Task.At != "0 4 * * *" || len(shown.Runs) != 3 || shown.Runs[1].Workflow != started.Workflow || shown.Runs[1].RunNowBy != "server" ||
		len(shown.Task.Parameters) != 2 || shown.Task.Parameters[1].Default != "a,b" || shown.Task.Parameters[0].Default != "2" {
		t.Errorf("%+v", shown)
	}
	s.expect(0, `failed +server +nope +Cannot find git reference refs/heads/nope`, "task", "show", shown.Task.ID)

	file := filepath.Join(s.dir, "task.yml")
	text := "apiVersion: v1.2\nkind: Schedule\nmetadata: {name: weekly}\nspec: {project: demo, recurring: true, branch: main, at: '@weekly', pipeline_file: w.yml}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.expect(1, "leave the other flags out", "task", "create", "demo/x", "--from-file", file)
	s.expect(2, "no such file", "task", "create", "--from-file", file+".none")
	s.expect(0, `Task weekly runs next at .* \(@weekly\)`, "task", "create", "--from-file", file)
	s.expect(0, `Task other runs when somebody asks`, "task", "edit", "demo/by hand", "--name", "other")
	s.expect(1, "already", "task", "edit", "demo/other", "--from-file", file)
	s.expect(0, "Task weekly deleted", "task", "delete", "demo/weekly")
	s.expect(0, "Task weekly runs next", "task", "edit", "demo/other", "--from-file", file)
}
