// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package spent

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sotto-chat/sotto/test/needs"
)

// cluster is a real PostgreSQL on a socket of its own, started by the first test
// that needs one and ended after the last.
var cluster struct {
	once   sync.Once
	dir    string
	server *exec.Cmd
	out    bytes.Buffer
	spaces int
}

func TestMain(m *testing.M) {
	if url := os.Getenv("SOTTO_SPENT_CHILD"); url != "" {
		child(url)
		return
	}
	code := m.Run()
	if s := cluster.server; s != nil {
		s.Process.Signal(syscall.SIGINT) // fast shutdown
		s.Wait()
	}
	if cluster.dir != "" {
		os.RemoveAll(cluster.dir)
	}
	os.Exit(code)
}

// bin finds a program of PostgreSQL, which Debian keeps out of the path.
func bin(name string) string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) > 0 {
		return slices.Max(found)
	}
	path, _ := exec.LookPath(name)
	return path
}

// newPostgres returns the URL of an empty schema, which is quicker made than a database.
func newPostgres(t testing.TB) string {
	t.Helper()
	if bin("initdb") == "" || bin("postgres") == "" {
		needs.Missing(t, "PostgreSQL (Debian: postgresql)")
	}
	cluster.once.Do(func() { startCluster(t) })
	if cluster.server == nil {
		t.Fatalf("PostgreSQL doesn't run: %s", &cluster.out)
	}
	cluster.spaces++
	name := fmt.Sprintf("spent%d", cluster.spaces)
	c, err := pgx.Connect(t.Context(), clusterURL("public"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if _, err := c.Exec(t.Context(), "CREATE SCHEMA "+name); err != nil {
		t.Fatal(err)
	}
	return clusterURL(name)
}

func clusterURL(schema string) string {
	return "postgres://sotto@/postgres?host=" + url.QueryEscape(cluster.dir) + "&search_path=" + schema
}

func startCluster(t testing.TB) {
	dir, err := os.MkdirTemp("", "spent") // a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	cluster.dir = dir
	// PostgreSQL doesn't run as root.
	as := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			u, err = user.Lookup("nobody")
		}
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(dir, "data")
	run := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(bin(name), args...)
		cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = dir, &cluster.out, &cluster.out, as
		return cmd
	}
	if err := run("initdb", "-D", data, "-U", "sotto", "-A", "trust", "--no-sync", "--wal-segsize=1", "--no-instructions", "--locale=C", "--encoding=UTF8").Run(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, &cluster.out)
	}
	server := run("postgres", "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=on", "-c", "shared_buffers=16MB")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	cluster.server = server
	for range 500 {
		if c, err := pgx.Connect(t.Context(), clusterURL("public")); err == nil {
			c.Close(t.Context())
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("PostgreSQL doesn't answer")
}
