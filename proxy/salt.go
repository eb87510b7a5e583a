// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
)

// saltMember is a member of the request that keeps model servers from sharing
// their prompt caches between people: whoever could guess the beginning of a
// stranger's prompt could find out by timing whether the guess is right.
const saltMember = "cache_salt"

// headRoom is left free in a sealed request for the salt and for what stands
// before the body.
const headRoom = 64 << 10

// cacheSalt returns the salt of one key in this process: the same for all its
// requests, so that a conversation still profits from the cache.
func (p *Proxy) cacheSalt(key string) string {
	m := hmac.New(sha256.New, p.secret[:])
	m.Write([]byte(key))
	return hex.EncodeToString(m.Sum(nil)[:16])
}

// request is what the proxy reads of a JSON body: no more than it must.
type request struct {
	body   []byte // with a cache salt
	model  string
	stream bool
}

var errNotObject = errors.New("the body is not a JSON object")

// readRequest looks at the top level of body and adds salt where there is no
// salt yet. All other bytes stay as they are, in their order and spelling.
func readRequest(body []byte, salt string) (request, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil || members == nil {
		return request{}, errNotObject
	}
	r := request{body: body}
	json.Unmarshal(members["model"], &r.model)   // what isn't a string is the model server's to refuse
	json.Unmarshal(members["stream"], &r.stream) // likewise
	if _, ok := members[saltMember]; ok {
		return r, nil
	}
	open := bytes.IndexByte(body, '{') + 1
	member := `"` + saltMember + `":"` + salt + `"`
	if len(members) > 0 {
		member += ","
	}
	r.body = make([]byte, 0, len(body)+len(member))
	r.body = append(r.body, body[:open]...)
	r.body = append(r.body, member...)
	r.body = append(r.body, body[open:]...)
	return r, nil
}
