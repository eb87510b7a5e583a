// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// Collection says what kind of record it is. In JSON it is its name.
type Collection uint8

// The collections of a feed.
const (
	Messages   Collection = 1 // "msg": immutable messages
	Registers  Collection = 2 // "reg": last-writer-wins values
	Tombstones Collection = 3 // "tomb": lists of erased records
	Files      Collection = 4 // "file": sealed chunks of files
)

var collectionNames = [...]string{Messages: "msg", Registers: "reg", Tombstones: "tomb", Files: "file"}

// Valid tells whether c is one of the four collections.
func (c Collection) Valid() bool { return c >= Messages && c <= Files }

func (c Collection) String() string {
	if !c.Valid() {
		return fmt.Sprintf("collection %d", uint8(c))
	}
	return collectionNames[c]
}

// MarshalText writes the collection's name.
func (c Collection) MarshalText() ([]byte, error) {
	if !c.Valid() {
		return nil, fmt.Errorf("%w: %v", ErrFormat, c)
	}
	return []byte(collectionNames[c]), nil
}

// UnmarshalText reads a collection's name.
func (c *Collection) UnmarshalText(b []byte) error {
	for v := Messages; v <= Files; v++ {
		if collectionNames[v] == string(b) {
			*c = v
			return nil
		}
	}
	return fmt.Errorf("%w: unknown collection", ErrFormat)
}

// Version orders the writes of one register; the greatest wins. It is a hybrid
// logical clock (Kulkarni et al., 2014): minutes since 1970 in the upper 40 bits
// of Clock, a counter in the lower 24; ties are broken by device. Minutes, since
// the server sees it and need not know more. The version of all other records is
// zero. In JSON it is 32 hex digits, so that their order is the versions' order.
type Version struct {
	Clock  uint64
	Device DeviceID
}

const versionSize = 16

// Compare returns -1, 0 or +1 as v is older than, equal to or newer than w.
func (v Version) Compare(w Version) int {
	if v.Clock != w.Clock {
		if v.Clock < w.Clock {
			return -1
		}
		return 1
	}
	for i := range v.Device {
		if v.Device[i] != w.Device[i] {
			if v.Device[i] < w.Device[i] {
				return -1
			}
			return 1
		}
	}
	return 0
}

// Bytes returns the 16 bytes of v, clock first, big endian.
func (v Version) Bytes() (b [versionSize]byte) {
	binary.BigEndian.PutUint64(b[:8], v.Clock)
	copy(b[8:], v.Device[:])
	return b
}

// VersionFromBytes is the inverse of [Version.Bytes].
func VersionFromBytes(b [versionSize]byte) Version {
	return Version{binary.BigEndian.Uint64(b[:8]), DeviceID(b[8:])}
}

func (v Version) String() string { b := v.Bytes(); return hex.EncodeToString(b[:]) }

// MarshalText writes 32 lower-case hex digits.
func (v Version) MarshalText() ([]byte, error) { b := v.Bytes(); return appendHex(b[:]), nil }

// UnmarshalText takes exactly 32 lower-case hex digits.
func (v *Version) UnmarshalText(text []byte) error {
	var b [versionSize]byte
	if err := parseHex(b[:], text); err != nil {
		return err
	}
	*v = VersionFromBytes(b)
	return nil
}

// place is where a record belongs: the part of the associated data that differs
// from record to record.
type place struct {
	collection Collection
	id         RecordID
	version    Version
}

// Sizes of a sealed record (spec: "Records").
const (
	// MaxRecord is the greatest size of a sealed record, in bytes.
	MaxRecord = 1 << 20

	recordHeader   = 1 + 16 + 1 + 16 + versionSize // form, account, collection, id, version
	recordSalt     = 32
	recordHead     = 8 + 32 // the writer's head: seq and hash
	recordOverhead = recordHeader + recordSalt + chacha20poly1305.Overhead
	minRecord      = recordOverhead + minPadded
	maxBody        = maxPadded - 4 - recordHead
	maxPadded      = 1_032_192 // the greatest Padmé size with which a record fits MaxRecord
)

// sealRecord seals body, with the head that the writer knew, for its place. key
// is the account's record key.
func sealRecord(key []byte, account AccountID, p place, known Head, body []byte) ([]byte, error) {
	salt := make([]byte, recordSalt)
	rand.Read(salt)
	return sealRecordWith(key, account, p, known, body, salt)
}

func sealRecordWith(key []byte, account AccountID, p place, known Head, body, salt []byte) ([]byte, error) {
	if len(body) > maxBody {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(body), maxBody)
	}
	inner := 4 + recordHead + len(body)
	plain := make([]byte, paddedSize(inner))
	binary.BigEndian.PutUint32(plain, uint32(recordHead+len(body)))
	binary.BigEndian.PutUint64(plain[4:], known.Seq)
	copy(plain[12:], known.Hash[:])
	copy(plain[4+recordHead:], body)
	out := make([]byte, 0, recordOverhead+len(plain))
	out = appendRecordHeader(out, account, p)
	out = append(out, salt...)
	return aead(recordKey(key, salt)).Seal(out, make([]byte, chacha20poly1305.NonceSize), plain, recordAAD(out[:recordHeader])), nil
}

func appendRecordHeader(b []byte, account AccountID, p place) []byte {
	b = append(b, 1)
	b = append(b, account[:]...)
	b = append(b, byte(p.collection))
	b = append(b, p.id[:]...)
	v := p.version.Bytes()
	return append(b, v[:]...)
}

func recordAAD(header []byte) []byte { return append([]byte("sotto/1 record\x00"), header...) }

// recordKey gives each record a key of its own, so that the nonce can be zero
// and no number of records wears the key out.
func recordKey(key, salt []byte) []byte { return expand(key, salt, "sotto/1 record", keySize) }

// checkRecordHeader tells whether a sealed record is of a possible size and says
// that it belongs to this place. Needs no key; the server calls it through
// [Put.Check].
func checkRecordHeader(data []byte, account AccountID, p place) error {
	if len(data) < minRecord || len(data) > MaxRecord || data[0] != 1 {
		return fmt.Errorf("%w: record of %d bytes", ErrFormat, len(data))
	}
	if n := len(data) - recordOverhead; paddedSize(n) != n {
		return fmt.Errorf("%w: record is not of a padded size", ErrFormat)
	}
	if AccountID(data[1:17]) != account {
		return ErrForeign
	}
	if string(data[17:recordHeader]) != string(appendRecordHeader(nil, account, p)[17:]) {
		return ErrSwapped
	}
	return nil
}

// openRecord opens a sealed record that stands at place p. The returned body
// shares no memory with data.
func openRecord(key []byte, account AccountID, p place, data []byte) (known Head, body []byte, err error) {
	if err := checkRecordHeader(data, account, p); err != nil {
		return Head{}, nil, err
	}
	salt, sealed := data[recordHeader:][:recordSalt], data[recordHeader+recordSalt:]
	plain, err := aead(recordKey(key, salt)).Open(nil, make([]byte, chacha20poly1305.NonceSize), sealed, recordAAD(data[:recordHeader]))
	if err != nil {
		return Head{}, nil, ErrTampered
	}
	n := uint64(binary.BigEndian.Uint32(plain))
	// Only a holder of the key can come here with a wrong length or padding, but
	// a strict reader keeps every writer honest.
	if n < recordHead || 4+n > uint64(len(plain)) || paddedSize(4+int(n)) != len(plain) || !allZero(plain[4+n:]) {
		return Head{}, nil, fmt.Errorf("%w: record padding", ErrFormat)
	}
	known.Seq = binary.BigEndian.Uint64(plain[4:])
	copy(known.Hash[:], plain[12:])
	return known, plain[4+recordHead : 4+n], nil
}
