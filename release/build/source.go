// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package build

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
)

// source is what git and go say of a source tree.
type source struct {
	commit    string // full hash
	time      int64  // of the commit, Unix seconds
	toolchain string // the Go that the tree is built with
	changed   string // a file that is not as in the commit; "" for none
}

// readSource asks git and go. Files that git ignores don't count as changed: what is
// built lies among them.
func readSource(ctx context.Context, dir string) (s source, err error) {
	if s.commit, err = output(ctx, dir, "git", "rev-parse", "--verify", "HEAD"); err != nil {
		return s, fmt.Errorf("the source in %s is no git tree with a commit: %w", dir, err)
	}
	stamp, err := output(ctx, dir, "git", "show", "--no-patch", "--format=%ct", "HEAD")
	if err != nil {
		return s, err
	}
	if s.time, err = strconv.ParseInt(stamp, 10, 64); err != nil {
		return s, fmt.Errorf("git says the commit's time is %q", stamp)
	}
	status, err := output(ctx, dir, "git", "status", "--porcelain")
	if err != nil {
		return s, err
	}
	line, _, _ := strings.Cut(status, "\n")
	if _, s.changed, _ = strings.Cut(strings.TrimSpace(line), " "); s.changed == "" {
		s.changed = line
	}
	s.changed = strings.TrimSpace(s.changed)
	s.toolchain, err = output(ctx, dir, "go", "env", "GOVERSION")
	return s, err
}

// output runs a tool in a folder and returns what it prints, without the last line
// end. Its complaint is the error.
func output(ctx context.Context, dir, tool string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if said, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n"); said != "" {
			err = errors.New(said)
		}
		return "", fmt.Errorf("%s %s: %w", tool, args[0], err)
	}
	return strings.TrimSuffix(stdout.String(), "\n"), nil
}

// checkBinary looks into a node's program: whether others can build the same bytes,
// and whether it may stand in a release at all. It returns what it was built with:
// "go1.26.8 linux/amd64 v1".
func checkBinary(file, commit string) (toolchain string, err error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("node.binary: %w", err)
	}
	return judgeBinary(info, commit)
}

func judgeBinary(info *debug.BuildInfo, commit string) (toolchain string, err error) {
	set := map[string]string{}
	for _, s := range info.Settings {
		set[s.Key] = s.Value
	}
	const how = "; build it as docs/verify-a-release.md says"
	switch {
	case !strings.HasSuffix(info.Path, "/cmd/sotto-node"):
		return "", fmt.Errorf("node.binary is %s, and not sotto-node", info.Path)
	case set["-tags"] != "":
		return "", fmt.Errorf("node.binary was built with -tags %s, which a release is not%s", set["-tags"], how)
	case set["-trimpath"] != "true":
		return "", errors.New("node.binary was built without -trimpath, so nobody can build the same bytes" + how)
	case set["CGO_ENABLED"] != "0":
		return "", errors.New("node.binary was built with CGO_ENABLED=1, so it depends on a C compiler" + how)
	case set["vcs.modified"] == "true", set["vcs.revision"] != "" && set["vcs.revision"] != commit:
		return "", fmt.Errorf("node.binary was built from %s, and not from commit %s alone%s", set["vcs.revision"], commit, how)
	}
	level := set["GO"+strings.ToUpper(set["GOARCH"])]
	return plain(strings.TrimSpace(info.GoVersion + " " + set["GOOS"] + "/" + set["GOARCH"] + " " + level)), nil
}
