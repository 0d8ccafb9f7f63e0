package signalbox

import "testing"

func TestReasons(t *testing.T) {
	for reason, infrastructure := range map[Reason]bool{
		ReasonTest: false, ReasonUser: false, ReasonTimeout: false, ReasonMalformed: false, ReasonAgentLost: true, ReasonAgentRestarted: true,
		ReasonStartFailed: true, ReasonImagePull: true, ReasonAgentError: true,
	} {
		if reason.Infrastructure() != infrastructure {
			t.Errorf("%s: the machinery is the cause: %v", reason, !infrastructure)
		}
		want := reason
		if infrastructure {
			want = ReasonInternal
		}
		if got := reason.Compatible(); got != want {
			t.Errorf("existing clients see %s as %s, want %s", reason, got, want)
		}
	}
}
