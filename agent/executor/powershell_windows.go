package executor

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"unsafe"

	"golang.org/x/sys/windows"
)

// jobObject holds every process of one job: what a member starts is a member, and all die when it is closed, also when
// that is because this process was killed.
type jobObject struct {
	mu     sync.Mutex
	handle windows.Handle
	killed bool
}

func newJobObject() (*jobObject, error) {
	h, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return nil, err
	}
	limits := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{
		BasicLimitInformation: windows.JOBOBJECT_BASIC_LIMIT_INFORMATION{LimitFlags: windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE},
	}
	_, err = windows.SetInformationJobObject(h, windows.JobObjectExtendedLimitInformation, uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits)))
	if err != nil {
		_ = windows.CloseHandle(h)
		return nil, err
	}
	return &jobObject{handle: h}, nil
}

var resumeProcess = windows.NewLazySystemDLL("ntdll.dll").NewProc("NtResumeProcess")

// start starts a program inside the job object. It begins suspended, so that it can start nothing outside.
func (j *jobObject) start(program, env []string, dir string, out *os.File) (func() int, error) {
	cmd := exec.Command(program[0], program[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = env, dir, out, out
	cmd.SysProcAttr = &windows.SysProcAttr{CreationFlags: windows.CREATE_SUSPENDED | windows.CREATE_NEW_PROCESS_GROUP | windows.CREATE_NO_WINDOW}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	give := func(err error) (func() int, error) {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, err
	}
	h, err := windows.OpenProcess(windows.PROCESS_ALL_ACCESS, false, uint32(cmd.Process.Pid))
	if err != nil {
		return give(err)
	}
	defer func() { _ = windows.CloseHandle(h) }()
	if err := windows.AssignProcessToJobObject(j.handle, h); err != nil {
		return give(fmt.Errorf("cannot put it into the job's object: %w", err))
	}
	if j.killed {
		_ = windows.TerminateJobObject(j.handle, 1)
	} else if status, _, _ := resumeProcess.Call(uintptr(h)); status != 0 {
		return give(fmt.Errorf("cannot let it run: status %#x", status))
	}
	return func() int {
		_ = cmd.Wait() // its exit code says what there is to say
		return cmd.ProcessState.ExitCode()
	}, nil
}

func (j *jobObject) kill() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.killed = true
	if j.handle != 0 {
		_ = windows.TerminateJobObject(j.handle, 1)
	}
}

func (j *jobObject) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.handle == 0 {
		return nil
	}
	h := j.handle
	j.handle = 0
	return windows.CloseHandle(h)
}
