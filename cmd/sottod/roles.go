// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sotto-chat/sotto/account"
	"github.com/sotto-chat/sotto/gateway"
	"github.com/sotto-chat/sotto/internal/lines"
	"github.com/sotto-chat/sotto/internal/passon"
	"github.com/sotto-chat/sotto/store"
	"github.com/sotto-chat/sotto/token"
	"github.com/sotto-chat/sotto/web"
)

// accountRole serves the page, the account's API and, passed through, the
// gateway: a browser lets the page talk to its own origin only.
func accountRole(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 {
		if command, ok := planCommands[args[0]]; ok {
			return command(ctx, args[1:], stdout, stderr)
		}
	}
	fs, logger := flags("account", stderr)
	listen := fs.String("listen", "127.0.0.1:8780", "`address` to serve on; TLS belongs in front")
	origin := fs.String("origin", "", "what browsers show, such as https://chat.example")
	data := fs.String("data", "", "`folder` for sealed history (default: sotto in the user's data folder)")
	header := fs.String("address-header", "", "request `header` in which the TLS proxy in front names the client's address, for rate limits")
	gatewayURL := fs.String("gateway", "http://127.0.0.1:8781", "the gateway's `URL`")
	tokens := fs.String("tokens", "", "issuer's `name`, such as tokens.chat.example: messages are paid with tokens that this server signs; none by default")
	product := fs.String("product", "sotto", "`name` of what the tokens pay for")
	guests := fs.Int("guests", 0, "tokens a day for one network address without an account")
	relayURL := fs.String("relay", "", "`URL` of the relay that hides people's addresses from the gateway")
	relayOperator := fs.String("relay-operator", "", "who runs the relay, a `name` for people")
	statements := statementFlags(fs)
	stripe := stripeFlags(fs)
	webcat := fs.String("webcat", "", "`folder` with enrollment.json and bundle.json of WEBCAT, for browsers that show only the signed page")
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	var relays []string
	if *relayURL != "" {
		relays = append(relays, *relayURL)
	}
	page := web.Handler(relays...)
	if *webcat != "" {
		dist, err := web.Files()
		if err != nil {
			return err
		}
		if page, err = web.WebCAT(os.DirFS(*webcat), dist, page); err != nil {
			return err
		}
	}
	if *origin == "" {
		return errors.New("-origin is missing: passkeys are bound to what browsers show, such as https://chat.example")
	}
	at, err := parseOrigin(*origin)
	if err != nil {
		return err
	}
	behind, err := url.Parse(*gatewayURL)
	if err != nil || behind.Host == "" {
		return fmt.Errorf("-gateway %q is not a URL such as http://127.0.0.1:8781", *gatewayURL)
	}
	billing, err := stripe()
	if err != nil {
		return err
	}
	log := logger()

	dir, err := dataFolder(*data)
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, filepath.Join(dir, "sotto.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	cfg := account.Config{Store: db, Origin: at.String(), Logger: log, Guests: *guests, Billing: billing}
	if *tokens != "" {
		cfg.Tokens = &account.Tokens{Issuer: *tokens, Product: *product}
	}
	if *relayURL != "" {
		cfg.Relay = &account.Relay{URL: *relayURL, Operator: *relayOperator}
	}
	if *header != "" {
		cfg.ClientAddress = func(r *http.Request) string { return r.Header.Get(*header) }
	}
	acc, err := account.New(cfg)
	if err != nil {
		return err
	}
	publisher, err := statements.publisher(behind.String(), *tokens, *product, acc.IssuerKey, log)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	defer l.Close()

	mux := http.NewServeMux()
	mux.Handle("/api/", acc.Handler())
	mux.Handle("/sotto/", passOn(behind))
	mux.Handle("/", page)
	lines.To(log).Info("account", lines.Own("listen", l.Addr().String()), lines.Own("origin", at.String()))
	tasks := []task{serving(server(onlyHosts(mux, at)), l), acc.Run, closing(acc)}
	if publisher != nil {
		tasks = append(tasks, publisher)
	}
	return together(ctx, tasks...)
}

// passOn hands sealed requests to the gateway without anything that tells whose
// they are: no address, no cookie, no browser's name.
func passOn(gateway *url.URL) http.Handler {
	p := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			kept := http.Header{}
			if v := r.In.Header.Get("Content-Type"); v != "" {
				kept.Set("Content-Type", v)
			}
			// A token says that somebody paid, and not who; other credentials do.
			for _, name := range []string{token.FieldToken, token.FieldHolder, token.FieldRefund} {
				for _, v := range r.In.Header.Values(name) {
					if name != token.FieldToken || strings.HasPrefix(v, "PrivateToken ") {
						kept.Add(name, v)
					}
				}
			}
			// An empty value keeps net/http from adding its own.
			kept.Set("User-Agent", "")
			r.Out.Header = kept
			r.SetURL(gateway)
		},
		FlushInterval: -1,
		// What comes back stands at the page's own origin. A gateway that could set
		// a cookie or show a document there would have more than sealed bytes: the
		// person's session, and a page that may ask their passkey for its key.
		ModifyResponse: func(r *http.Response) error {
			kind := r.Header.Get("Content-Type")
			if kind != "application/json" && kind != "application/sotto-answer" || r.StatusCode >= 300 && r.StatusCode < 400 || r.StatusCode < 200 {
				return errors.New("not a gateway's answer")
			}
			kept := http.Header{
				"Content-Type":                 {kind},
				"Cache-Control":                {"no-store"},
				"Content-Security-Policy":      {"default-src 'none'; sandbox; frame-ancestors 'none'"},
				"Cross-Origin-Resource-Policy": {"same-origin"},
				"X-Accel-Buffering":            {"no"}, // proxies that would wait for more
				"X-Content-Type-Options":       {"nosniff"},
			}
			for _, name := range []string{"Content-Length", "Retry-After", "Www-Authenticate"} {
				if v := r.Header.Get(name); v != "" {
					kept.Set(name, v)
				}
			}
			if r.StatusCode >= 400 {
				kept.Set("Connection", "close") // it may have come before the request's end
			}
			r.Header, r.Trailer = kept, nil
			return nil
		},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			// The rest of the request may still be read by whoever sent it on.
			w.Header().Set("Connection", "close")
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadGateway)
			io.WriteString(w, `{"error":{"code":"no_node","message":"The service that finds a machine can't be reached. Try again in a moment."}}`)
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// HTTP/1 would otherwise read the whole request before an answer's first byte.
		http.NewResponseController(w).EnableFullDuplex()
		p.ServeHTTP(passon.AnswerOnly(w), r)
	})
}

// list is a flag that can be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func gatewayRole(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == "counts" {
		return countsCommand(ctx, args[1:], stdout, stderr)
	}
	fs, logger := flags("gateway", stderr)
	listen := fs.String("listen", "127.0.0.1:8781", "`address` to serve on; TLS belongs in front")
	debug := fs.String("debug", "", "loopback `address` for /metrics; none by default")
	var nodes list
	fs.Var(&nodes, "node", "a node's `URL`; once for each")
	publicLog := fs.String("log", "", "the public log's `URL`, whose view clients get from here; none by default")
	tokens := spendFlags(fs)
	behind := relayFlags(fs)
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	if len(nodes) == 0 {
		return errors.New("-node is missing: name each node's URL, such as -node http://10.0.0.7:8790")
	}
	log := logger()
	cfg := gateway.Config{Nodes: nodes, Log: *publicLog, Logger: log}
	var err error
	if cfg.OHTTP, err = behind.seeds(ctx, *listen); err != nil {
		return err
	}
	store, err := tokens.open(ctx, &cfg)
	if err != nil {
		return err
	}
	if store != nil {
		defer store.Close()
	}
	g, err := gateway.New(cfg)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	defer l.Close()
	tasks := []task{serving(server(g.Handler()), l), g.Run}
	if *debug != "" {
		dl, err := listenLoopback(*debug)
		if err != nil {
			return err
		}
		defer dl.Close()
		tasks = append(tasks, serving(server(metrics(g.WriteMetrics)), dl))
	}
	lines.To(log).Info("gateway", lines.Own("listen", l.Addr().String()), lines.Own("nodes", strconv.Itoa(len(nodes))))
	return together(ctx, tasks...)
}
