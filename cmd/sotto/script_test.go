// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sotto-chat/sotto/test/testservice"
	"github.com/sotto-chat/sotto/web"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sotto": main, "sotto-of-fakes": mainOfFakes})
}

// TestScripts runs the scripts of testdata: the real program against a service
// in this process.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("SOTTO_CONFIG_DIR", filepath.Join(env.WorkDir, "config"))
			env.Setenv("TZ", "UTC")
			env.Values[serviceKey{}] = new(running)
			env.Setenv(rootsFile, filepath.Join(env.WorkDir, "roots.json"))
			return fakeRoots(filepath.Join(env.WorkDir, "roots.json"))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve":     serveCommand,
			"exits":     exitsCommand,
			"dialogue":  dialogueCommand,
			"engine":    engineCommand,
			"http":      httpCommand,
			"waitfor":   waitForCommand,
			"private":   privateCommand,
			"approve":   approveCommand,
			"unlink":    unlinkCommand,
			"away":      awayCommand,
			"backup":    backupCommand,
			"restore":   restoreCommand,
			"roll":      rollCommand,
			"tamper":    tamperCommand,
			"untamper":  untamperCommand,
			"silicon":   siliconCommand,
			"wrap":      wrapCommand,
			"public":    publicCommand,
			"site":      siteCommand,
			"publiclog": publicLogCommand,
			"edit":      editCommand,
			"reseal":    resealCommand,
			"ownpage":   ownPageCommand,
			"link":      linkCommand,
			"poll":      pollCommand,
			"opens":     opensCommand,
		},
		Condition: func(cond string) (bool, error) {
			if cond != "page" {
				return false, errors.New("no such condition")
			}
			_, err := web.Files() // a checkout whose page isn't built has none
			return err == nil, nil
		},
	})
}

// running is the service of each script.
type running struct {
	*testservice.Service
	account *accountFixture
	public  *public
}

type serviceKey struct{}

func service(ts *testscript.TestScript) *running {
	s := ts.Value(serviceKey{}).(*running)
	if s.Service == nil {
		ts.Fatalf("serve comes first")
	}
	return s
}

// exits CODE PROGRAM ARGS… runs a program and wants that exit code.
func exitsCommand(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d\nstdout: %s\nstderr: %s", got, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// engine requests|cancelled N waits until the model server has had that many
// requests, or seen that many cancelled.
func engineCommand(ts *testscript.TestScript, neg bool, args []string) {
	up := service(ts).Upstream
	want, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	count := map[string]func() int64{"requests": up.Requests.Load, "cancelled": up.Cancelled.Load}[args[0]]
	for range 500 {
		if count() == want {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("%s: %d, want %d", args[0], count(), want)
}

// http STATUS METHOD URL [FIELD:VALUE…] makes a request and prints the answer.
func httpCommand(ts *testscript.TestScript, neg bool, args []string) {
	req, err := http.NewRequest(args[1], args[2], nil)
	ts.Check(err)
	for _, field := range args[3:] {
		name, value, _ := strings.Cut(field, ":")
		if value = strings.TrimSpace(value); name == "Host" {
			req.Host = value
		} else {
			req.Header.Set(name, value)
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	ts.Check(err)
	defer resp.Body.Close()
	_, err = io.Copy(ts.Stdout(), resp.Body)
	ts.Check(err)
	if strconv.Itoa(resp.StatusCode) != args[0] {
		ts.Fatalf("status %d, want %s", resp.StatusCode, args[0])
	}
}

// waitfor FILE REGEXP [NAME] waits until the file matches and sets NAME to what
// the group matched.
func waitForCommand(ts *testscript.TestScript, neg bool, args []string) {
	re := regexp.MustCompile(args[1])
	for range 1500 {
		b, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil {
			if m := re.FindSubmatch(b); m != nil {
				if len(args) > 2 {
					ts.Setenv(args[2], string(m[1]))
				}
				return
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("%s never matched %s", args[0], args[1])
}

// private FILE… wants files that only their owner can read.
func privateCommand(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		matches, err := filepath.Glob(ts.MkAbs(name))
		ts.Check(err)
		if len(matches) == 0 {
			ts.Fatalf("there is no %s", name)
		}
		for _, m := range matches {
			st, err := os.Stat(m)
			ts.Check(err)
			if st.Mode().Perm() != 0o600 {
				ts.Fatalf("%s has mode %v", m, st.Mode())
			}
		}
	}
}

// serve [NODES] starts a service with an account server and sets SOTTO_SERVER.
func serveCommand(ts *testscript.TestScript, neg bool, args []string) {
	nodes := 1
	if len(args) > 0 {
		var err error
		nodes, err = strconv.Atoi(args[0])
		ts.Check(err)
	}
	a, err := newAccountFixture(ts.MkAbs("account"))
	ts.Check(err)
	s, err := testservice.Run(context.Background(), testservice.Options{Nodes: nodes, Handle: a.handle})
	ts.Check(err)
	ts.Defer(func() {
		s.Close()
		a.close()
	})
	ts.Setenv("SOTTO_SERVER", s.URL)
	*ts.Value(serviceKey{}).(*running) = running{Service: s, account: a}
}

// dialogue FILE PROGRAM ARGS… runs a program and goes through the lines of FILE:
//
//	> TEXT       type a line
//	out REGEXP   wait until standard output matches, after the last match
//	err REGEXP   the same for standard error
//	engine …     as the command engine
//	interrupt    press Ctrl-C
//	eof          end the input
//	exit CODE    wait for the end
func dialogueCommand(ts *testscript.TestScript, neg bool, args []string) {
	path, err := exec.LookPath(filepath.Join(strings.Split(ts.Getenv("PATH"), string(os.PathListSeparator))[0], args[1]))
	ts.Check(err)
	cmd := exec.Command(path, args[2:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TZ", "SOTTO_SERVER", "SOTTO_CONFIG_DIR", "SOTTO_INSECURE_SOFTWARE_NODE"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	in, err := cmd.StdinPipe()
	ts.Check(err)
	out, errOut := &watched{}, &watched{}
	cmd.Stdout, cmd.Stderr = out, errOut
	ts.Check(cmd.Start())
	ended := false
	defer func() {
		if !ended {
			cmd.Process.Kill()
			cmd.Wait()
		}
		fmt.Fprint(ts.Stdout(), out.String())
		fmt.Fprint(ts.Stderr(), errOut.String())
	}()
	for i, l := range strings.Split(strings.TrimSpace(ts.ReadFile(args[0])), "\n") {
		word, arg, _ := strings.Cut(l, " ")
		switch word {
		case ">":
			_, err = io.WriteString(in, arg+"\n")
		case "out":
			err = out.await(arg)
		case "err":
			err = errOut.await(arg)
		case "engine":
			engineCommand(ts, false, strings.Fields(arg))
		case "interrupt":
			err = cmd.Process.Signal(os.Interrupt)
		case "eof":
			err = in.Close()
		case "exit":
			late := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
			cmd.Wait()
			late.Stop()
			ended = true
			if code := strconv.Itoa(cmd.ProcessState.ExitCode()); code != arg {
				err = fmt.Errorf("exit code %s", code)
			}
		default:
			err = errors.New("what?")
		}
		if err != nil {
			ts.Fatalf("%s:%d: %s: %v\nstdout: %s\nstderr: %s", args[0], i+1, l, err, out, errOut)
		}
	}
	if !ended {
		ts.Fatalf("%s doesn't say how it ends", args[0])
	}
}
