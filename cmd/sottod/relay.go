// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/internal/durable"
	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/ohttp"
	"github.com/sotto-chat/sotto/relay"
)

// relayRole hides from one gateway where requests come from.
func relayRole(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs, logger := flags("relay", stderr)
	listen := fs.String("listen", "127.0.0.1:8784", "`address` to serve on; TLS belongs in front")
	gatewayURL := fs.String("gateway", "", "the gateway's `URL`, such as https://gateway.example; with a path if it isn't ours")
	keysURL := fs.String("keys", "", "the `URL` of the gateway's key configurations (default: the gateway's with -keys behind)")
	public := fs.String("public", "", "the `URL` at which clients reach this relay, to compare with the gateway's")
	header := fs.String("address-header", "", "request `header` in which the TLS proxy in front names the client's address, for limits")
	demo := fs.Bool("same-host-demo", false, "work although the gateway is on this machine too, which hides nothing from it")
	var origins list
	fs.Var(&origins, "origin", "`origin` of a page that may ask, such as https://chat.example; once for each")
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	if *gatewayURL == "" {
		return errors.New("-gateway is missing: name the gateway that this relay is for, such as https://gateway.example")
	}
	log := logger()
	cfg := relay.Config{Gateway: *gatewayURL, Keys: *keysURL, Origins: origins, Logger: log}
	if *header != "" {
		cfg.Address = func(r *http.Request) string { return r.Header.Get(*header) }
	}
	r, err := relay.New(cfg)
	if err != nil {
		return err
	}
	defer r.Close()
	if !*demo {
		if err := apart(ctx, "gateway", *gatewayURL, *listen, *public); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	defer l.Close()
	lines.To(log).Info("relay", lines.Own("listen", l.Addr().String()), lines.Own("gateway", *gatewayURL))
	return together(ctx, serving(server(r.Handler()), l))
}

// relayed is what a gateway is told of the relays before it.
type relayed struct {
	files, relays list
	public        *string
	demo          *bool
}

// relayFlags adds a gateway's flags for requests that relays bring.
func relayFlags(fs *flag.FlagSet) *relayed {
	r := &relayed{}
	fs.Var(&r.files, "ohttp-key", "`file` of the key that requests behind a relay are sealed to, made at the first start; again for one that is still accepted")
	fs.Var(&r.relays, "relay", "`URL` of a relay that clients are told of; once for each")
	r.public = fs.String("public", "", "the `URL` at which relays reach this gateway, to compare with theirs")
	r.demo = fs.Bool("same-host-demo", false, "work although a relay is on this machine too, which hides nothing")
	return r
}

// seeds returns the keys, after a look at whether relay and gateway are apart.
func (r *relayed) seeds(ctx context.Context, listen string) ([]ohttp.Seed, error) {
	if len(r.files) == 0 {
		if len(r.relays) > 0 {
			return nil, errors.New("-relay needs -ohttp-key: without a key the gateway can't take what a relay brings")
		}
		return nil, nil
	}
	if !*r.demo {
		if len(r.relays) == 0 {
			return nil, errors.New("-relay is missing: name each relay that clients are told of, such as -relay https://relay.example, so that this gateway can refuse to be its own")
		}
		for _, u := range r.relays {
			if err := apart(ctx, "relay", u, listen, *r.public); err != nil {
				return nil, err
			}
		}
	}
	return ohttpSeeds(r.files)
}

// apart refuses where the other of relay and gateway is this very host: who runs both
// sees who asks and what, so there would be a relay that hides nothing.
func apart(ctx context.Context, what, other, listen, public string) error {
	u, err := url.Parse(other)
	if err != nil || u.Hostname() == "" {
		return fmt.Errorf("the %s %q is not a URL such as https://%s.example", what, other, what)
	}
	same := fmt.Errorf("the %s %s is on this machine: whoever runs relay and gateway together sees who asks and what, so the relay would hide nothing. Let somebody else run one of them; -same-host-demo is for trying things out", what, u.Host)
	own := map[netip.Addr]bool{}
	add := func(all []netip.Addr) {
		for _, a := range all {
			if a = a.Unmap().WithZone(""); !a.IsUnspecified() {
				own[a] = true
			}
		}
	}
	if public != "" {
		p, err := url.Parse(public)
		if err != nil || p.Hostname() == "" {
			return fmt.Errorf("-public %q is not a URL such as https://relay.example", public)
		}
		if sameName(p.Hostname(), u.Hostname()) {
			return same
		}
		add(resolve(ctx, p.Hostname()))
	}
	if host, _, err := net.SplitHostPort(listen); err == nil && host != "" {
		if sameName(host, u.Hostname()) {
			return same
		}
		add(resolve(ctx, host))
	}
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("this machine's addresses can't be found out: %w", err)
	}
	for _, a := range interfaces {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			add([]netip.Addr{p.Addr()})
		}
	}
	// A name that doesn't resolve now is not the same host now; it is no reason not to start.
	for _, a := range resolve(ctx, u.Hostname()) {
		if a = a.Unmap().WithZone(""); a.IsLoopback() || a.IsUnspecified() || own[a] {
			return same
		}
	}
	return nil
}

func sameName(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}

// resolve returns the addresses of a name, none if they can't be had soon.
func resolve(ctx context.Context, host string) []netip.Addr {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil
	}
	return all
}

// ohttpSeeds reads the files of the keys that requests behind a relay are sealed to.
// One that isn't there is made, so that its keys have other identifiers than those of
// the rest.
func ohttpSeeds(files []string) ([]ohttp.Seed, error) {
	var seeds []ohttp.Seed
	for _, file := range files {
		b, err := os.ReadFile(file)
		switch {
		case err == nil && len(b) != ohttp.SeedSize:
			return nil, fmt.Errorf("the key in %s has %d bytes and should have %d: it is not one that this program made", file, len(b), ohttp.SeedSize)
		case err == nil:
			seeds = append(seeds, ohttp.Seed(b))
		case errors.Is(err, os.ErrNotExist):
			seeds = append(seeds, ohttp.Seed{})
		default:
			return nil, fmt.Errorf("the key: %w", err)
		}
	}
	for i, file := range files {
		if seeds[i] != (ohttp.Seed{}) {
			continue
		}
		for {
			seeds[i] = ohttp.NewSeed()
			known := slices.DeleteFunc(slices.Clone(seeds), func(s ohttp.Seed) bool { return s == ohttp.Seed{} })
			if _, err := ohttp.NewServer(known...); err == nil {
				break
			} else if !errors.Is(err, ohttp.ErrSameID) {
				return nil, err
			}
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return nil, fmt.Errorf("the key can't be kept: %w", err)
		}
		if err := durable.Write(file, seeds[i][:]); err != nil {
			return nil, fmt.Errorf("the key can't be kept: %w", err)
		}
	}
	return seeds, nil
}
