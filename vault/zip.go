// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"time"
)

// zipWriter writes a ZIP file whose files are stored as they are (PKWARE
// APPNOTE 6.3.10). The standard library's writer brings a compressor and a
// decompressor along, 40 KB of what every browser loads, for an export that is
// made once in a while.
type zipWriter struct {
	w       io.Writer
	at      uint64 // bytes written
	files   uint64
	central []byte // the directory that closes the file
}

// errZipSize is of a ZIP file beyond 4 GiB, more than a browser can hold.
var errZipSize = errors.New("zip: more than 4 GiB")

// Layout of what follows: signature, versions, flags, method and times are
// fixed; 45 is the version that knows 64-bit counts.
const (
	zipVersion = 20
	zipUTF8    = 1 << 11
	// zipExtra is the extended timestamp: the times of ZIP itself know no zone.
	zipExtra     = 0x5455
	zipExtraSize = 9
)

// add writes one file. Its path is relative, with slashes.
func (z *zipWriter) add(path string, data []byte, made time.Time) error {
	if len(path) > math.MaxUint16 || uint64(len(data)) > math.MaxUint32 || z.at > math.MaxUint32 {
		return errZipSize
	}
	le := binary.LittleEndian
	made = made.UTC()
	year, month, day := made.Date()
	// What local header and directory have in common.
	var common []byte
	common = le.AppendUint16(common, zipVersion)
	common = le.AppendUint16(common, zipUTF8)
	common = le.AppendUint16(common, 0) // stored
	common = le.AppendUint16(common, uint16(made.Hour()<<11|made.Minute()<<5|made.Second()/2))
	common = le.AppendUint16(common, uint16((year-1980)<<9|int(month)<<5|day))
	common = le.AppendUint32(common, crc32.ChecksumIEEE(data))
	common = le.AppendUint32(common, uint32(len(data))) // as it is stored, and
	common = le.AppendUint32(common, uint32(len(data)))
	common = le.AppendUint16(common, uint16(len(path)))
	common = le.AppendUint16(common, zipExtraSize)
	extra := le.AppendUint16(nil, zipExtra)
	extra = le.AppendUint16(extra, zipExtraSize-4)
	extra = append(extra, 1) // the time of the last change only
	extra = le.AppendUint32(extra, uint32(made.Unix()))

	z.central = append(z.central, "PK\x01\x02"...)
	z.central = le.AppendUint16(z.central, zipVersion)
	z.central = append(z.central, common...)
	z.central = append(z.central, make([]byte, 2+2+2+4)...) // comment, disk, attributes
	z.central = le.AppendUint32(z.central, uint32(z.at))
	z.central = append(z.central, path...)
	z.central = append(z.central, extra...)
	z.files++

	header := append([]byte("PK\x03\x04"), common...)
	header = append(header, path...)
	if err := z.write(append(header, extra...)); err != nil {
		return err
	}
	return z.write(data)
}

// close writes the directory. A file of more than 65,535 files has its count in
// a record of its own.
func (z *zipWriter) close() error {
	start := z.at
	if start > math.MaxUint32 || len(z.central) > math.MaxInt32 {
		return errZipSize
	}
	le := binary.LittleEndian
	end := z.central
	if z.files >= math.MaxUint16 {
		end = append(end, "PK\x06\x06"...)
		end = le.AppendUint64(end, 44) // bytes that follow in this record
		end = le.AppendUint16(end, 45)
		end = le.AppendUint16(end, 45)
		end = append(end, make([]byte, 4+4)...) // the disk is this one
		end = le.AppendUint64(end, z.files)
		end = le.AppendUint64(end, z.files)
		end = le.AppendUint64(end, uint64(len(z.central)))
		end = le.AppendUint64(end, start)
		end = append(end, "PK\x06\x07\x00\x00\x00\x00"...)
		end = le.AppendUint64(end, start+uint64(len(z.central)))
		end = le.AppendUint32(end, 1)
	}
	count := uint16(min(z.files, math.MaxUint16))
	end = append(end, "PK\x05\x06\x00\x00\x00\x00"...)
	end = le.AppendUint16(end, count)
	end = le.AppendUint16(end, count)
	end = le.AppendUint32(end, uint32(len(z.central)))
	end = le.AppendUint32(end, uint32(start))
	return z.write(le.AppendUint16(end, 0)) // no comment
}

func (z *zipWriter) write(b []byte) error {
	n, err := z.w.Write(b)
	z.at += uint64(n)
	return err
}
