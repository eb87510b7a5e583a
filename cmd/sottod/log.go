// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sotto-chat/sotto/internal/collateral"
	"github.com/sotto-chat/sotto/internal/connlimit"
	"github.com/sotto-chat/sotto/internal/durable"
	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/release"
	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/tlog/logserver"
	"github.com/sotto-chat/sotto/tlog/witness"
)

// maxConnections bounds the connections of a log or a witness.
const maxConnections = 1024

// logRole keeps a public log, of releases or of keys.
func logRole(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs, logger := flags("log", stderr)
	listen := fs.String("listen", "127.0.0.1:8782", "`address` to serve on; TLS belongs in front")
	data := fs.String("data", "", "`folder` for the log; of this key's, and of no other program")
	key := fs.String("key", "", "`file` of the log's private key (default: key in the data folder)")
	pinFile := fs.String("pin", "", "`file` of the pin: whose releases are taken, and which witnesses there are")
	kind := fs.String("kind", "releases", "what it is a log of: releases, or keys")
	first := fs.Bool("init", false, "make the key, or take one that has never been used, print its public half, and end")
	origin := fs.String("origin", "", "with -init: the log's `name`, such as log.example/sotto; it can't be changed later")
	var witnesses list
	fs.Var(&witnesses, "witness", "`NAME=URL` of a witness of the pin's policy, where the policy doesn't say it; once for each")
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	kinds := map[string]logserver.Kind{"releases": logserver.Releases, "keys": logserver.Keys}
	of, ok := kinds[*kind]
	if !ok {
		return fmt.Errorf("-kind %q is neither releases nor keys", *kind)
	}
	pair, err := statePair(*data, *key, *first)
	if err != nil {
		return err
	}
	pair.Generate = func() (string, string, error) {
		if !*first {
			return "", "", errors.New("there is no log yet: make its key with sottod log -init -origin NAME -data DIR, put what it prints into the pin, and start again")
		}
		if *origin == "" {
			return "", "", errors.New("-origin is missing: the log needs a name, such as log.example/sotto")
		}
		s, err := tlog.GenerateSigner(*origin)
		return strings.TrimSuffix(s.Secret(), "\n"), s.Key().String(), err
	}
	pair.Public = func(private string) (string, error) {
		s, err := tlog.ParseSigner(private)
		return s.Key().String(), err
	}
	unlock, private, err := openState(pair)
	if err != nil {
		return err
	}
	defer unlock()
	signer, err := tlog.ParseSigner(private)
	if err != nil {
		return err
	}
	if *first {
		if *origin != "" && *origin != signer.Name() {
			return fmt.Errorf("the key in %s is of the log %s: -origin can't be another", pair.File, signer.Name())
		}
		_, err := fmt.Fprintln(stdout, signer.Key())
		return err
	}
	if *pinFile == "" {
		return errors.New("-pin is missing: a log has to know whose releases it takes, and which witnesses watch it")
	}
	pin, err := readPin(*pinFile)
	if err != nil {
		return err
	}
	at := map[string]string{}
	for _, w := range witnesses {
		name, url, ok := strings.Cut(w, "=")
		if _, twice := at[name]; !ok || twice {
			return fmt.Errorf("-witness %q is not NAME=URL, once for each name", w)
		}
		at[name] = url
	}
	log := logger()
	s, err := logserver.Open(logserver.Config{Dir: pair.Dir, Kind: of, Signer: signer, Pin: pin, Witnesses: at, Logger: log})
	if err != nil {
		return err
	}
	defer s.Close()
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	defer l.Close()
	lines.To(log).Info("log", lines.Own("listen", l.Addr().String()), lines.Own("key", signer.Key().String()))
	return together(ctx, serving(brief(s.Handler()), connlimit.Listen(l, maxConnections)), s.Run)
}

// readPin reads the file of a pin.
func readPin(file string) (release.Pin, error) {
	doc, err := collateral.ReadFile(file, release.MaxPin)
	if err != nil {
		return release.Pin{}, fmt.Errorf("the pin: %w", err)
	}
	pin, err := release.ParsePin(doc)
	if err != nil {
		return release.Pin{}, fmt.Errorf("the pin in %s can't be used: %w", file, err)
	}
	return pin, nil
}

// statePair says where a log or a witness has its key and its state.
func statePair(data, key string, adopt bool) (durable.Pair, error) {
	if data == "" {
		return durable.Pair{}, errors.New("-data is missing: name the folder of this key's state")
	}
	if key == "" {
		key = filepath.Join(data, "key")
	}
	return durable.Pair{Dir: data, File: key, Adopt: adopt}, nil
}

// openState takes the folder for this process and finds the key that belongs to it.
func openState(pair durable.Pair) (unlock func(), private string, err error) {
	if err := os.MkdirAll(pair.Dir, 0o700); err != nil {
		return nil, "", fmt.Errorf("the data folder can't be made: %w", err)
	}
	unlock, err = durable.Lock(pair.Dir)
	if err != nil {
		return nil, "", err
	}
	private, err = durable.Key(pair)
	if err != nil {
		unlock()
		return nil, "", err
	}
	return unlock, private, nil
}

// witnessRole cosigns the checkpoints of logs.
func witnessRole(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs, logger := flags("witness", stderr)
	listen := fs.String("listen", "127.0.0.1:8783", "`address` to serve on; TLS belongs in front")
	data := fs.String("data", "", "`folder` for what was cosigned; of this key's, and of no other program")
	key := fs.String("key", "", "`file` of the witness's private key (default: key in the data folder); made at the first start")
	name := fs.String("name", "", "at the first start: the witness's `name`, such as witness.example; it can't be changed later")
	first := fs.Bool("init", false, "make the key, or take one that has never been used, print its public half, and end")
	var vkeys list
	fs.Var(&vkeys, "log", "public `key` of a log to cosign, as the log prints it; once for each")
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	pair, err := statePair(*data, *key, *first)
	if err != nil {
		return err
	}
	pair.Generate = func() (string, string, error) {
		if *name == "" {
			return "", "", errors.New("-name is missing: the witness needs one for its key, such as witness.example")
		}
		c, err := tlog.GenerateCosigner(*name)
		return strings.TrimSuffix(c.Secret(), "\n"), c.Key().String(), err
	}
	pair.Public = func(private string) (string, error) {
		c, err := tlog.ParseCosigner(private)
		return c.Key().String(), err
	}
	if !*first && len(vkeys) == 0 {
		return errors.New("-log is missing: give the public key of each log to cosign, as the log prints it")
	}
	var logs []tlog.Key
	for _, v := range vkeys {
		k, err := tlog.ParseKey(v)
		if err == nil && k.Cosigns() {
			err = errors.New("it is a witness's")
		}
		if err != nil {
			return fmt.Errorf("-log %q is not the public key of a log: %w", v, err)
		}
		logs = append(logs, k)
	}
	unlock, private, err := openState(pair)
	if err != nil {
		return err
	}
	defer unlock()
	cosigner, err := tlog.ParseCosigner(private)
	if err != nil {
		return err
	}
	if *name != "" && *name != cosigner.Name() {
		return fmt.Errorf("the key in %s is of the witness %s: -name can't be another", pair.File, cosigner.Name())
	}
	if *first {
		_, err := fmt.Fprintln(stdout, cosigner.Key())
		return err
	}
	log := logger()
	w, err := witness.Open(witness.Config{Dir: pair.Dir, Key: cosigner, Logs: logs, Logger: log})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	defer l.Close()
	lines.To(log).Info("witness", lines.Own("listen", l.Addr().String()), lines.Own("key", cosigner.Key().String()), lines.Own("logs", strconv.Itoa(len(logs))), lines.Own("mind", witness.Independence))
	return together(ctx, serving(brief(w.Handler()), connlimit.Listen(l, maxConnections)))
}
