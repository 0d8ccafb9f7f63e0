package agent

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/signalbox-ci/signalbox/agentapi"
)

// upload is what it takes to push the complete log as an artifact of its job.
type upload struct {
	URL      string     `json:"url"` // of the organization
	Token    string     `json:"token"`
	When     UploadLogs `json:"when"`
	Compress int64      `json:"compress"` // from this many bytes on
}

// defaultCompression is the size from which an uploaded log is compressed.
const defaultCompression = 100 << 20

// newUpload reads from the payload where the log goes; nil when nothing is to be uploaded.
func (a *Agent) newUpload(p *agentapi.JobPayload) *upload {
	u := &upload{When: a.cfg.UploadJobLogs, Compress: a.cfg.LogsCompressionSize}
	if u.When == "" || u.When == UploadNever {
		return nil
	}
	if u.Compress <= 0 {
		u.Compress = defaultCompression
	}
	for _, v := range p.EnvVars {
		value, err := base64.StdEncoding.DecodeString(v.Value)
		if err != nil {
			continue // the job will say so
		}
		switch v.Name {
		case "SEMAPHORE_ARTIFACT_TOKEN":
			u.Token = string(value)
		case "SEMAPHORE_ORGANIZATION_URL":
			u.URL = string(value)
		}
	}
	if u.Token == "" || u.URL == "" {
		a.log.Warn("the job's log will not be uploaded: its payload holds no SEMAPHORE_ARTIFACT_TOKEN or no SEMAPHORE_ORGANIZATION_URL", "job", p.JobID)
		return nil
	}
	return u
}

// upload pushes the complete log as an artifact when that was asked for. It returns false when ctx ended first. The
// program artifact is not needed for it, so it works for containers and stopped jobs too.
func (p *pusher) upload(ctx context.Context) bool {
	u := p.meta.Upload
	if u == nil || (u.When == UploadWhenTrimmed && !p.trimmed) {
		return true
	}
	err := p.uploadText(ctx, u)
	var exists *artifactExistsError
	switch {
	case err == nil:
		p.log.Info("uploaded the log", "job", p.meta.JobID)
	case ctx.Err() != nil:
		return false
	case errors.As(err, &exists): // an earlier process was killed after it had done it
	default:
		p.log.Error("the job's log cannot be uploaded", "job", p.meta.JobID, "error", err)
	}
	return true
}

func (p *pusher) uploadText(ctx context.Context, u *upload) error {
	f, size, err := p.textFile()
	if err != nil {
		return fmt.Errorf("write the log as text: %w", err)
	}
	defer os.Remove(f)
	path := "artifacts/jobs/" + p.meta.JobID + "/agent/job_logs.txt"
	if size >= u.Compress {
		if f, size, err = compressed(f); err != nil {
			return fmt.Errorf("compress the log: %w", err)
		}
		defer os.Remove(f)
		path += ".gz"
	}
	return PushArtifact(ctx, p.client.http, ArtifactTarget{URL: u.URL, Token: u.Token, Path: path}, size, func() (io.ReadCloser, error) { return os.Open(f) })
}

// textFile writes the log as text beside the spool.
func (p *pusher) textFile() (path string, size int64, err error) {
	return writeBeside(p.spool.path+".txt", p.spool.text)
}

func compressed(from string) (path string, size int64, err error) {
	return writeBeside(from+".gz", func(w io.Writer) error {
		in, err := os.Open(from)
		if err != nil {
			return err
		}
		defer in.Close()
		z := gzip.NewWriter(w)
		_, err = io.Copy(z, in)
		return errors.Join(err, z.Close())
	})
}

func writeBeside(path string, write func(io.Writer) error) (string, int64, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", 0, err
	}
	buf := bufio.NewWriterSize(f, 64<<10)
	err = errors.Join(write(buf), buf.Flush())
	info, statErr := f.Stat()
	if err := errors.Join(err, statErr, f.Close()); err != nil {
		_ = os.Remove(path)
		return "", 0, err
	}
	return path, info.Size(), nil
}
