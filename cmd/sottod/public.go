// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/internal/durable"
	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/keylog"
	"github.com/sotto-chat/sotto/keylog/publish"
	"github.com/sotto-chat/sotto/node"
	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/release/build"
	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/tlog/logserver"
	"github.com/sotto-chat/sotto/tlog/witness"
	"github.com/sotto-chat/sotto/token"
	"github.com/sotto-chat/sotto/web"
)

// The demo's public log: three witnesses of which two are enough, three keys that
// sign releases of which two are enough, each in a file of its own.
const (
	demoProduct   = "sotto-demo"
	demoWitnesses = 3
	demoQuorum    = 2
	demoKeys      = 3
	demoThreshold = 2
)

// publicLog is the log that a demo runs, with its witnesses. It shows how all of it
// works, and proves nothing: whoever runs the demo has every key.
type publicLog struct {
	url     string // of the log, on loopback; "" where there is none
	release string // digest of the release that describes this demo; "" where there is none

	keyURL    string      // of the key log, on loopback
	keyPin    keylog.Pin  // by which it is believed; also in the release
	statement tlog.Signer // signs its statements
	// checkpoint gets the newest one, for the node's keys; nil where there is none yet.
	checkpoint func(context.Context) ([]byte, error)
	run        task // ends when the demo does; may be nil
	close      func()
}

// startPublicLog starts log and witnesses in a folder below dir and publishes what
// this demo runs, if the newest release says something else. A folder that can't be
// used is set aside, since a demo has to start.
//
// Beside it the key log is started, which the release names, with the same witnesses.
// The release also names the relays. [publicLog.publisher] fills the key log.
func startPublicLog(ctx context.Context, dir string, eng engine.Engine, log *slog.Logger, relays ...string) (*publicLog, error) {
	at := filepath.Join(dir, "public")
	p, err := openPublicLog(ctx, at, eng, log, relays)
	var broken *brokenState
	if !errors.As(err, &broken) {
		return p, err
	}
	aside := at + ".aside-" + strconv.FormatInt(time.Now().Unix(), 10)
	lines.To(log).Warn("the demo's public log can't be used, so it is set aside and a new one begins", lines.Own("folder", aside), lines.Err(err))
	if err := os.Rename(at, aside); err != nil {
		return nil, err
	}
	return openPublicLog(ctx, at, eng, log, relays)
}

// brokenState is an error of a folder that a new one may take the place of, in a
// demo. One that another demo is using right now isn't.
type brokenState struct{ error }

func openPublicLog(ctx context.Context, dir string, eng engine.Engine, log *slog.Logger, relays []string) (_ *publicLog, err error) {
	var closers []func()
	closeAll := func() {
		for i := len(closers) - 1; i >= 0; i-- {
			closers[i]()
		}
	}
	defer func() {
		if err != nil {
			closeAll()
		}
	}()
	open := func(name string, generate func() (secretKey, error), read func(string) (secretKey, error)) (string, string, error) {
		pair := durable.Pair{Dir: filepath.Join(dir, name), File: filepath.Join(dir, name, "key")}
		pair.Generate = func() (string, string, error) {
			s, err := generate()
			if err != nil {
				return "", "", err
			}
			return strings.TrimSuffix(s.Secret(), "\n"), s.Key().String(), nil
		}
		pair.Public = func(private string) (string, error) {
			s, err := read(private)
			if err != nil {
				return "", err
			}
			return s.Key().String(), nil
		}
		unlock, private, err := openState(pair)
		if errors.Is(err, durable.ErrInUse) {
			return "", "", err
		}
		if err != nil {
			return "", "", &brokenState{err}
		}
		closers = append(closers, unlock)
		return private, pair.Dir, nil
	}
	signer := func(name, origin string) (tlog.Signer, string, error) {
		private, at, err := open(name, func() (secretKey, error) { return tlog.GenerateSigner(origin) }, func(s string) (secretKey, error) { return tlog.ParseSigner(s) })
		if err != nil {
			return tlog.Signer{}, "", err
		}
		s, err := tlog.ParseSigner(private)
		return s, at, err
	}

	// Its name is its own, so that a client that knew an earlier demo doesn't take
	// this one for a log that went back.
	own := make([]byte, 4)
	rand.Read(own)
	logKey, logDir, err := signer("log", "demo-"+hex.EncodeToString(own)+".sotto.example/log")
	if err != nil {
		return nil, err
	}
	keysKey, keysDir, err := signer("key-log", "demo-"+hex.EncodeToString(own)+".sotto.example/keys")
	if err != nil {
		return nil, err
	}
	statement, _, err := signer("statement-key", "demo-statements.sotto.example")
	if err != nil {
		return nil, err
	}
	pin := release.Pin{V: 1, Product: demoProduct, Threshold: demoThreshold}
	var signers []tlog.Signer
	for i := range demoKeys {
		s, _, err := signer(fmt.Sprintf("release-key-%d", i+1), fmt.Sprintf("demo-release-%d.sotto.example", i+1))
		if err != nil {
			return nil, err
		}
		signers, pin.Keys = append(signers, s), append(pin.Keys, s.Key().String())
	}
	voices := ""
	group := fmt.Sprintf("group enough %d", demoQuorum)
	urls := map[string]string{}
	var tasks []task
	for i := range demoWitnesses {
		name := fmt.Sprintf("w%d", i+1)
		private, at, err := open(fmt.Sprintf("witness-%d", i+1),
			func() (secretKey, error) {
				return tlog.GenerateCosigner(fmt.Sprintf("demo-witness-%d.sotto.example", i+1))
			},
			func(s string) (secretKey, error) { return tlog.ParseCosigner(s) })
		if err != nil {
			return nil, err
		}
		cosigner, err := tlog.ParseCosigner(private)
		if err != nil {
			return nil, err
		}
		w, err := witness.Open(witness.Config{Dir: at, Key: cosigner, Logs: []tlog.Key{logKey.Key(), keysKey.Key()}, Logger: log.With("role", name)})
		if err != nil {
			return nil, &brokenState{err}
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		closers = append(closers, func() { l.Close() })
		tasks = append(tasks, serving(server(w.Handler()), l))
		voices += "witness " + name + " " + cosigner.Key().String() + "\n"
		group += " " + name
		urls[name] = "http://" + l.Addr().String()
	}
	voices += group + "\nquorum enough\n"
	pin.Log = "log " + logKey.Key().String() + "\n" + voices
	keyPin := keylog.Pin{V: 1, Product: demoProduct, Log: "log " + keysKey.Key().String() + "\n" + voices, Keys: []string{statement.Key().String()}, Threshold: 1}
	doc, err := json.MarshalIndent(pin, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := durable.Write(filepath.Join(dir, "pin.json"), append(doc, '\n')); err != nil {
		return nil, err
	}
	ofKeys, err := json.MarshalIndent(keyPin, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := durable.Write(filepath.Join(dir, "keys-pin.json"), append(ofKeys, '\n')); err != nil {
		return nil, err
	}
	if doc, err = json.Marshal(pin); err != nil {
		return nil, err
	}
	s, err := logserver.Open(logserver.Config{Dir: logDir, Signer: logKey, Pin: pin, Witnesses: urls, ViewPin: doc, Logger: log.With("role", "log")})
	if err != nil {
		return nil, &brokenState{err}
	}
	closers = append(closers, s.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	closers = append(closers, func() { l.Close() })
	tasks = append(tasks, serving(server(s.Handler()), l), s.Run)
	k, err := logserver.Open(logserver.Config{Dir: keysDir, Kind: logserver.Keys, Signer: keysKey, Pin: release.Pin(keyPin), Witnesses: urls, NodesEvery: -1, Logger: log.With("role", "key log")})
	if err != nil {
		return nil, &brokenState{err}
	}
	closers = append(closers, k.Close)
	kl, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	closers = append(closers, func() { kl.Close() })
	tasks = append(tasks, serving(server(k.Handler()), kl), k.Run)

	p := &publicLog{url: "http://" + l.Addr().String(), keyURL: "http://" + kl.Addr().String(), keyPin: keyPin, statement: statement, close: closeAll}
	p.run = begin(ctx, tasks...)
	if p.release, err = describeDemo(ctx, s, signers, pin, keyPin, relays, eng, log); err != nil {
		// What this demo runs stays undescribed, which clients say.
		lines.To(log).Warn("what this demo runs is not in its public log", lines.Err(err))
	}
	follow, err := node.FollowLog(p.url)
	if err != nil {
		return nil, err
	}
	if _, err := follow(ctx); err != nil {
		lines.To(log).Warn("the demo's public log shows nothing yet, so the node's keys don't name it", lines.Err(err))
	} else {
		p.checkpoint = follow
	}
	return p, nil
}

// publisher returns what keeps the demo's key log up to date: with the keys
// by which tokens of a day are signed, and what the gateway says of its keys and
// machines. There has to be a key log (keyURL).
func (p *publicLog) publisher(gateway, issuer string, issue func(context.Context, token.Day) ([]byte, error), log *slog.Logger) (*publish.Publisher, error) {
	return publish.New(publish.Config{
		Log: p.keyURL, Pin: p.keyPin, Signer: p.statement, Issuer: issuer, Gateway: gateway, Issue: issue,
		Every: 5 * time.Second, NodesEvery: -1, Logger: log,
	})
}

// secretKey is what the keys of logs, witnesses and releases have in common.
type secretKey interface {
	Secret() string
	Key() tlog.Key
}

// begin lets tasks run from now on, and returns the task that ends them.
func begin(ctx context.Context, tasks ...task) task {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- together(ctx, tasks...) }()
	return func(outer context.Context) error {
		defer cancel()
		select {
		case err := <-done:
			return err
		case <-outer.Done():
			cancel()
			return <-done
		}
	}
}

// describeDemo sees that the log's newest release is this very demo, and returns
// its digest.
func describeDemo(ctx context.Context, s *logserver.Server, signers []tlog.Signer, pin release.Pin, keyPin keylog.Pin, relays []string, eng engine.Engine, log *slog.Logger) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	newest, size, ok := s.Newest()
	running := build.Running{
		Product: demoProduct, Index: size, Time: time.Now().Unix(), Log: pin.Log,
		Engine: release.Engine{Name: eng.Name(), Digest: "none"},
		KeyLog: keyPin.Log, Issuers: keyPin.Keys, Relays: relays,
	}
	if page, err := web.Files(); err == nil {
		running.Web = fs.FS(page)
	}
	models, err := eng.Models(ctx)
	if err != nil {
		lines.To(log).Warn("the engine doesn't say which models it has, so the release names none", lines.Err(err))
	}
	for _, m := range models {
		if m.Digest != "" { // a release says what the weights are
			running.Models = append(running.Models, release.Model{ID: m.ID, Weights: m.Digest, Tokenizer: "none", Template: "none"})
		}
	}
	m, err := build.Describe(running)
	if err != nil {
		return "", err
	}
	if ok && build.Same(newest.Manifest, m) {
		return newest.Digest(), nil
	}
	text, err := m.Encode()
	if err != nil {
		return "", err
	}
	note := tlog.Note{Text: text}
	for _, k := range signers[:demoThreshold] {
		note.Signatures = append(note.Signatures, k.Signature(text))
	}
	if _, err := s.Add(ctx, note.Encode()); err != nil {
		return "", err
	}
	return release.Digest(text), nil
}
