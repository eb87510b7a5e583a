// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tlog

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits, checked before anything is decoded.
const (
	MaxEntry      = 65535    // bytes of an entry of a log (c2sp.org/tlog-tiles)
	MaxNote       = MaxEntry // bytes of a signed note; a release is an entry and a note
	MaxSignatures = 64       // signatures of a note; c2sp.org/signed-note asks for 16 at least
	maxName       = 256      // bytes of a key's name
)

// Signature types of c2sp.org/signed-note, section "Signature types".
const (
	algEd25519     = 0x01 // of logs and releases
	algCosignature = 0x04 // cosignature/v1, of witnesses (c2sp.org/tlog-cosignature)
)

// Key is the public key of a log, a witness or a release signer, with the name
// that belongs to it: a verifier key of c2sp.org/signed-note.
type Key struct {
	name string
	id   [4]byte
	alg  byte
	pub  [ed25519.PublicKeySize]byte
}

// ParseKey reads "name+hash+base64" with a key of type 0x01, Ed25519, or 0x04,
// cosignature/v1.
func ParseKey(vkey string) (Key, error) {
	name, rest, _ := strings.Cut(vkey, "+")
	id, data, _ := strings.Cut(rest, "+")
	// 33 bytes are 44 characters.
	if !validName(name) || len(id) != 8 || len(data) != 44 {
		return Key{}, malformed("a key is not name+hash+key")
	}
	b, ok := decode64(data)
	if !ok {
		return Key{}, malformed("a key is not in base64")
	}
	k, err := newKey(name, b[0], b[1:])
	if err != nil {
		return Key{}, err
	}
	if hex.EncodeToString(k.id[:]) != id {
		return Key{}, malformed("a key has another hash than it says")
	}
	return k, nil
}

// ParseKeys reads the keys of those who sign entries: Ed25519 keys, each of which
// counts once, whatever its name.
func ParseKeys(vkeys []string) ([]Key, error) {
	var keys []Key
	for _, s := range vkeys {
		k, err := ParseKey(s)
		if err != nil {
			return nil, err
		}
		if k.Cosigns() {
			return nil, errors.New(k.name + " is a witness’s key, and not one that signs entries")
		}
		for i := range keys {
			if keys[i].pub == k.pub {
				return nil, errors.New("the key of " + k.name + " stands there twice")
			}
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func newKey(name string, alg byte, pub []byte) (Key, error) {
	k := Key{name: name, alg: alg}
	if !validName(name) {
		return Key{}, malformed("a key's name is empty, too long, or has a space or a plus in it")
	}
	if alg != algEd25519 && alg != algCosignature || len(pub) != len(k.pub) {
		return Key{}, malformed("a key is of another kind than Ed25519 (01) and cosignature/v1 (04)")
	}
	copy(k.pub[:], pub)
	k.id = keyID(name, alg, pub)
	return k, nil
}

func keyID(name string, alg byte, pub []byte) [4]byte {
	sum := sha256.Sum256(append(append([]byte(name+"\n"), alg), pub...))
	return [4]byte(sum[:])
}

func validName(s string) bool {
	if s == "" || len(s) > maxName || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r < ' ' || r == '+' || unicode.IsSpace(r) {
			return false
		}
	}
	return true
}

// Name returns the name of the key, which for a log is its origin.
func (k Key) Name() string { return k.name }

// String returns the key as [ParseKey] reads it.
func (k Key) String() string {
	return k.name + "+" + hex.EncodeToString(k.id[:]) + "+" +
		base64.StdEncoding.EncodeToString(append([]byte{k.alg}, k.pub[:]...))
}

// Cosigns reports whether k is a witness's key, type 0x04.
func (k Key) Cosigns() bool { return k.alg == algCosignature }

// Note is a signed note (c2sp.org/signed-note). Nothing in it is worth anything
// until somebody asked [Note.VerifiedBy].
type Note struct {
	Text       []byte // with its last newline
	Signatures []Signature
}

// Signature is one signature line of a note.
type Signature struct {
	Name  string  // of the key
	KeyID [4]byte // of the key
	Data  []byte  // what follows the key id: for cosignature/v1 the time and the signature
}

// sigStart begins a signature line: em dash, space.
const sigStart = "— "

// ParseNote reads a signed note of at most [MaxNote] bytes and [MaxSignatures]
// signatures.
func ParseNote(b []byte) (Note, error) {
	if len(b) > MaxNote {
		return Note{}, malformed("a note is too long")
	}
	s := string(b)
	at := 0 // the last empty line
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\n' {
			return Note{}, malformed("a note has a control character")
		}
		if i > 0 && s[i-1:i+1] == "\n\n" {
			at = i
		}
	}
	if at == 0 || !utf8.ValidString(s) {
		return Note{}, malformed("a note is not text, an empty line and signatures")
	}
	n := Note{Text: b[:at]}
	for lines := s[at+1:]; lines != ""; {
		line, rest, ok := strings.Cut(lines, "\n")
		if !ok {
			return Note{}, malformed("a note doesn't end in a newline")
		}
		lines = rest
		if len(n.Signatures) == MaxSignatures {
			return Note{}, malformed("a note has too many signatures")
		}
		sig, ok := parseSignature(line)
		if !ok {
			return Note{}, malformed("a signature line of a note is not a dash, a name and a signature")
		}
		n.Signatures = append(n.Signatures, sig)
	}
	if len(n.Signatures) == 0 {
		return Note{}, malformed("a note has no signature")
	}
	return n, nil
}

func parseSignature(line string) (s Signature, ok bool) {
	line, ok = strings.CutPrefix(line, sigStart)
	if !ok {
		return s, false
	}
	name, data, _ := strings.Cut(line, " ")
	b, _ := decode64(data)
	if !validName(name) || len(b) <= len(s.KeyID) {
		return s, false
	}
	s = Signature{Name: name, KeyID: [4]byte(b), Data: b[4:]}
	return s, true
}

// Encode returns the note in its one encoding.
func (n Note) Encode() []byte {
	b := append(append([]byte(nil), n.Text...), '\n')
	for _, s := range n.Signatures {
		b = append(b, sigStart+s.Name+" "...)
		b = base64.StdEncoding.AppendEncode(b, append(s.KeyID[:], s.Data...))
		b = append(b, '\n')
	}
	return b
}

// VerifiedBy reports whether k signed the note, and for a key that cosigns, when it
// says it did, in Unix seconds. It is false also where one of several signatures
// in k's name is wrong.
func (n Note) VerifiedBy(k Key) (time int64, ok bool) {
	time, fate := n.by(&k)
	return time, fate == signed
}

type fate int

const (
	absent fate = iota // no signature by this key
	signed             // one signature by it, and that is right
	wrong              // a signature in its name is wrong, or there are several
)

func (n *Note) by(k *Key) (time int64, f fate) {
	for i := range n.Signatures {
		s := &n.Signatures[i]
		if !s.of(k) {
			continue
		}
		t, ok := k.verify(n.Text, s.Data)
		if !ok || f == signed {
			return 0, wrong
		}
		time, f = t, signed
	}
	return time, f
}

// of reports whether the signature says that it is by k.
func (s *Signature) of(k *Key) bool { return s.Name == k.name && s.KeyID == k.id }

// verify checks what follows the key id in a signature line.
func (k *Key) verify(text, sig []byte) (time int64, ok bool) {
	if k.alg == algCosignature {
		if len(sig) != 8+ed25519.SignatureSize {
			return 0, false
		}
		t := binary.BigEndian.Uint64(sig)
		if t >= 1<<63 {
			return 0, false
		}
		time, sig = int64(t), sig[8:]
		text = cosigned(text, time)
	}
	// ed25519.Verify is false for a signature of another length.
	if !ed25519.Verify(k.pub[:], text, sig) {
		return 0, false
	}
	return time, true
}

// cosigned is what a cosignature/v1 signs (c2sp.org/tlog-cosignature, section
// "Ed25519 signed message").
func cosigned(text []byte, time int64) []byte {
	return append([]byte("cosignature/v1\ntime "+strconv.FormatInt(time, 10)+"\n"), text...)
}
