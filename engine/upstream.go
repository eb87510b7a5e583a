// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limits of the conversation with a model server.
const (
	connectTimeout   = 5 * time.Second
	firstByteTimeout = 3 * time.Minute  // a streamed answer's first byte: loading a model counts
	wholeTimeout     = 15 * time.Minute // the first byte of an answer that comes in one piece
	idleTimeout      = 2 * time.Minute  // silence midway
	maxHeader        = 64 << 10
	maxErrorBody     = 64 << 10
	maxModelList     = 1 << 20
	maxModels        = 1000
)

// upstream is an Engine that passes requests to a model server over HTTP.
type upstream struct {
	name   string
	addr   address
	key    string // bearer token; never printed
	client *http.Client

	firstByte, whole, idle time.Duration
}

// newUpstream makes the engine at a; it connects to nothing yet.
func newUpstream(a address, o Options) *upstream {
	d := &net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second}
	dial := d.DialContext
	if a.socket != "" {
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", a.socket)
		}
	}
	return &upstream{
		name: cmp.Or(o.Name, "model server at "+a.String()), addr: a, key: o.APIKey,
		firstByte: cmp.Or(o.FirstByte, firstByteTimeout), whole: cmp.Or(o.FirstByte, wholeTimeout), idle: cmp.Or(o.Idle, idleTimeout),
		client: &http.Client{
			Transport: &http.Transport{
				// A proxy from the environment would be shown the words.
				Proxy:                  nil,
				DialContext:            dial,
				DisableCompression:     true, // bytes pass through as they are
				MaxIdleConns:           256,
				MaxIdleConnsPerHost:    256,
				IdleConnTimeout:        90 * time.Second,
				TLSHandshakeTimeout:    connectTimeout,
				MaxResponseHeaderBytes: maxHeader,
			},
			// So would whoever a redirect points at.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

func (u *upstream) Name() string { return u.name }

func (u *upstream) Close() error {
	u.client.CloseIdleConnections()
	return nil
}

func (u *upstream) Do(ctx context.Context, req *Request) (*Response, error) {
	if err := Check(req); err != nil {
		return nil, err
	}
	return u.do(ctx, req)
}

// do sends the request and sorts the outcome: a Response, or an *Error.
func (u *upstream) do(ctx context.Context, req *Request) (*Response, error) {
	wait := u.whole
	if req.Method == "GET" || req.WantsStream() {
		wait = u.firstByte
	}
	w := newWatch(ctx, wait)
	res, err := u.send(w.ctx, req)
	if err != nil {
		defer w.stop()
		return nil, u.failure(w.cause(err))
	}
	body := &watchedBody{ReadCloser: res.Body, u: u, watch: w, first: wait, idle: u.idle}

	if res.StatusCode < 200 || res.StatusCode > 299 {
		defer body.Close()
		return nil, u.refusal(req, res, body)
	}
	mediaType, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil {
		mediaType = ""
	}
	out := &Response{Status: res.StatusCode, ContentType: res.Header.Get("Content-Type")}
	switch {
	case mediaType == "text/html":
		body.Close()
		return nil, u.notTheAPI()
	case mediaType == "text/event-stream":
		out.ContentType = mediaType
		out.Body = newEventStream(body, u)
	default:
		// Some servers answer an error with status 200 (LM Studio does).
		refused, rest, err := peekError(body)
		if err != nil {
			body.Close()
			return nil, err
		}
		if refused {
			defer body.Close()
			res.StatusCode = http.StatusBadGateway
			return nil, u.refusal(req, res, rest)
		}
		out.Body = struct {
			io.Reader
			io.Closer
		}{rest, body}
	}
	return out, nil
}

func (u *upstream) send(ctx context.Context, req *Request) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, req.Method, u.addr.url(req.Path), bytes.NewReader(req.Body))
	if err != nil {
		return nil, err
	}
	// Servers close kept connections whenever they like: then the transport asks
	// once more. An empty key allows it that, and isn't sent.
	r.Header["Idempotency-Key"] = nil
	if req.ContentType != "" {
		r.Header.Set("Content-Type", req.ContentType)
	}
	if u.key != "" {
		r.Header.Set("Authorization", "Bearer "+u.key)
	}
	r.Header.Set("User-Agent", "sotto")
	return u.client.Do(r)
}

func (u *upstream) Models(ctx context.Context) ([]Model, error) {
	res, err := u.do(ctx, &Request{Method: "GET", Path: "/v1/models"})
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	list, err := readModelList(res.Body)
	if err != nil {
		if e := (*Error)(nil); errors.As(err, &e) {
			return nil, e
		}
		return nil, u.notTheAPI()
	}
	return list, nil
}

// readModelList reads an OpenAI model list and what the dialects add to it.
func readModelList(r io.Reader) ([]Model, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxModelList+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxModelList {
		return nil, errors.New("model list too large")
	}
	var list struct {
		Object string `json:"object"`
		Data   *[]struct {
			ID          string `json:"id"`
			MaxModelLen int    `json:"max_model_len"` // vLLM, SGLang
			Meta        struct {
				NCtx      int `json:"n_ctx"`       // llama.cpp: of one slot
				NCtxTrain int `json:"n_ctx_train"` // llama.cpp: of the file
			} `json:"meta"`
		} `json:"data"`
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, err
	}
	switch {
	case list.Object != "list" && list.Data == nil:
		return nil, errors.New("not a model list")
	case list.Data == nil: // Ollama without a model says null
		return nil, nil
	case len(*list.Data) > maxModels:
		return nil, errors.New("too many models")
	}
	models := make([]Model, 0, len(*list.Data))
	for _, m := range *list.Data {
		if m.ID != "" && len(m.ID) <= 512 {
			models = append(models, Model{ID: m.ID, Context: cmp.Or(max(m.MaxModelLen, 0), max(m.Meta.NCtx, 0), max(m.Meta.NCtxTrain, 0))})
		}
	}
	return models, nil
}

// A watch ends a request's context when the model server is silent for too
// long. Its timer runs only while somebody waits for bytes, so a slow reader on
// our side isn't held against the server.
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

var errSilent = errors.New("model server is silent")

func newWatch(ctx context.Context, d time.Duration) *watch {
	ctx, cancel := context.WithCancelCause(ctx)
	return &watch{ctx: ctx, cancel: cancel, timer: time.AfterFunc(d, func() { cancel(errSilent) })}
}

// cause replaces "context canceled" with why it was.
func (w *watch) cause(err error) error {
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	return err
}

func (w *watch) stop() {
	w.timer.Stop()
	w.cancel(context.Canceled)
}

// watchedBody runs the watch around every read and ends the request when it is
// closed, so that a stopped answer stops the model server. Its errors but io.EOF
// are each an *Error.
type watchedBody struct {
	io.ReadCloser
	u           *upstream
	watch       *watch
	first, idle time.Duration // limits before and after the first byte
	started     bool
	closed      sync.Once
}

func (b *watchedBody) Read(p []byte) (int, error) {
	limit := b.first
	if b.started {
		limit = b.idle
	}
	b.watch.timer.Reset(limit)
	n, err := b.ReadCloser.Read(p)
	b.watch.timer.Stop()
	b.started = b.started || n > 0
	if err != nil && err != io.EOF {
		err = b.u.failure(b.watch.cause(err))
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.closed.Do(b.watch.stop)
	return b.ReadCloser.Close()
}

// peekError looks at the start of a body. It reports whether the whole of it is
// a JSON error document, and returns a reader of the body from its beginning.
func peekError(r io.Reader) (refused bool, whole io.Reader, err error) {
	head := make([]byte, 256)
	n, err := io.ReadAtLeast(r, head, 1)
	if err != nil && err != io.EOF {
		return false, nil, err
	}
	head = head[:n]
	whole = io.MultiReader(bytes.NewReader(head), r)
	if s, ok := bytes.CutPrefix(bytes.TrimLeft(head, " \t\r\n"), []byte("{")); !ok || !bytes.HasPrefix(bytes.TrimLeft(s, " \t\r\n"), []byte(`"error"`)) {
		return false, whole, nil
	}
	doc, err := io.ReadAll(io.LimitReader(whole, maxErrorBody))
	if err != nil {
		return false, nil, err
	}
	whole = io.MultiReader(bytes.NewReader(doc), r)
	return parseServerError(doc).found, whole, nil
}
