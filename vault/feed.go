// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// Bounds of what travels in one request or answer.
const (
	// MaxBatch is the most records that one POST to the feed may carry.
	MaxBatch = 1000
	// MaxPage is the most entries that one page of the feed may have.
	MaxPage = 1000
	// MaxErase is the most records that one tombstone may name.
	MaxErase = 2000
	// MaxBatchErase is the most records that the tombstones of one post may name.
	MaxBatchErase = 50_000

	maxPageJSON = 64 << 20
)

// Head is a place in a feed: the number of its newest entry and the hash that
// covers that entry and all before it. The head of an empty feed is [Genesis].
type Head struct {
	Seq  uint64 `json:"seq"`
	Hash Hash   `json:"hash"`
}

// Put is a sealed record on its way to the server, in the form in which it is
// posted. It holds ciphertext only and may be stored on the device.
type Put struct {
	ID         RecordID   `json:"id"`
	Collection Collection `json:"collection"`
	Version    Version    `json:"version"`
	// Data is the sealed record, at most [MaxRecord] bytes.
	Data []byte `json:"data"`
	// Erase, for tombstones only, names the records whose data the server
	// forgets: at most [MaxErase], all of them also named in the sealed part.
	Erase []RecordID `json:"erase,omitempty"`
}

// Entry is a record in its place in the feed, as the server hands it out.
type Entry struct {
	Seq        uint64     `json:"seq"`
	ID         RecordID   `json:"id"`
	Collection Collection `json:"collection"`
	Version    Version    `json:"version"`
	// Size is the size of the sealed record in bytes, also of an erased one.
	Size int `json:"size"`
	// Data is the sealed record; absent when erased.
	Data []byte `json:"data,omitempty"`
	// Digest is SHA-256(Data); present only when Data is absent.
	Digest *Hash `json:"digest,omitempty"`
	// Hash covers this entry and all before it.
	Hash Hash `json:"hash"`
}

// Page is an answer of the feed: its newest head and some entries in a row.
type Page struct {
	Head    Head    `json:"head"`
	Entries []Entry `json:"entries"`
}

// Genesis is the head of an account's empty feed.
func Genesis(account AccountID) Head {
	h := sha256.New()
	h.Write([]byte("sotto/1 feed genesis\x00"))
	h.Write(account[:])
	return Head{Hash: Hash(h.Sum(nil))}
}

// Next returns the head after appending a record with this digest to the feed
// (spec: "Feed").
func (h Head) Next(collection Collection, id RecordID, version Version, digest Hash) Head {
	const label = "sotto/1 feed\x00"
	b := make([]byte, 0, len(label)+32+8+1+16+versionSize+32)
	b = append(b, label...)
	b = append(b, h.Hash[:]...)
	b = binary.BigEndian.AppendUint64(b, h.Seq+1)
	b = append(b, byte(collection))
	b = append(b, id[:]...)
	v := version.Bytes()
	b = append(b, v[:]...)
	b = append(b, digest[:]...)
	return Head{h.Seq + 1, sha256.Sum256(b)}
}

// Digest is SHA-256 of sealed data, as the feed's hash chain takes it.
func Digest(data []byte) Hash { return sha256.Sum256(data) }

// Check tells whether a put is well formed for this account, as far as that can
// be seen without a key. The server calls it.
func (p Put) Check(account AccountID) error {
	if !p.Collection.Valid() {
		return fmt.Errorf("%w: %v", ErrFormat, p.Collection)
	}
	if p.Collection == Registers == (p.Version == Version{}) {
		return fmt.Errorf("%w: only registers have a version", ErrFormat)
	}
	if len(p.Erase) > MaxErase || p.Collection != Tombstones && len(p.Erase) > 0 {
		return fmt.Errorf("%w: %s that erases %d records", ErrFormat, p.Collection, len(p.Erase))
	}
	return checkRecordHeader(p.Data, account, p.place())
}

func (p Put) place() place   { return place{p.Collection, p.ID, p.Version} }
func (e Entry) place() place { return place{e.Collection, e.ID, e.Version} }

// ParsePage reads a page as the server sends it. It checks form and bounds only;
// [Replica.Apply] checks whether to believe it.
func ParsePage(b []byte) (Page, error) {
	if len(b) > maxPageJSON {
		return Page{}, fmt.Errorf("%w: page of %d bytes", ErrTooLarge, len(b))
	}
	var p Page
	if err := json.Unmarshal(b, &p); err != nil {
		return Page{}, fmt.Errorf("page: %w: not JSON of this form", ErrFormat)
	}
	return p, p.check()
}

// check refuses pages that no honest server makes whatever its feed is.
func (p Page) check() error {
	for i, e := range p.Entries {
		if !e.Collection.Valid() || e.Size < 0 || e.Size > MaxRecord {
			return fmt.Errorf("page: %w: entry %d", ErrFormat, e.Seq)
		}
		if (e.Data == nil) == (e.Digest == nil) || e.Data != nil && len(e.Data) != e.Size {
			return fmt.Errorf("page: %w: entry %d has neither or both of data and digest, or a wrong size", ErrFormat, e.Seq)
		}
		if i > 0 && e.Seq != p.Entries[i-1].Seq+1 {
			return fmt.Errorf("page: %w: entry %d follows %d", ErrHidden, e.Seq, p.Entries[i-1].Seq)
		}
	}
	return nil
}

// digest returns the hash of the entry's data, which it holds or states.
func (e Entry) digest() Hash {
	if e.Data == nil && e.Digest != nil {
		return *e.Digest
	}
	return Digest(e.Data)
}
