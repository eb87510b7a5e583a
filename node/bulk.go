// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"context"
	"io"
	"sync"

	"github.com/sotto-chat/sotto/internal/padme"
	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/seal/machine"
)

var bulkScratch = sync.Pool{New: func() any {
	return &bulkBuffers{
		scratch: scratch{rec: make([]byte, 0, bulkBatch<<14), data: make([]byte, 0, 16<<10)},
		read:    make([]byte, 16<<10),
	}
}}

// bulkBatch is how many large records go out in one write. An answer that ends
// within them is written whole, with its length.
const bulkBatch = 4

type bulkBuffers struct {
	scratch
	read []byte
}

// sendBulk sends a reply in large records as fast as it comes. The number of
// records is padded like the length of a request (Padmé).
//
// A body that breaks before anything has been sent becomes an error of its own.
// Later there is no place left for one: the answer then lacks its final record,
// which every reader notices.
func (n *Node) sendBulk(ctx context.Context, opened *machine.Opened, rep *reply, out sink) error {
	sealer, err := opened.NewAnswer(machine.ClassBulk)
	if err != nil {
		return err
	}
	var body io.Reader = rep.body
	if rep.body == nil {
		body = bytes.NewReader(rep.text)
	}
	s := bulkScratch.Get().(*bulkBuffers)
	defer bulkScratch.Put(s)
	s.rec = s.rec[:0]

	head := bhttp.AppendResponseHead(nil, rep.status, rep.header)
	began := false
	for ended := false; ; {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		data := s.data[:0:sealer.Capacity()]
		if !ended {
			k := min(len(head), cap(data))
			data = append(data, head[:k]...)
			head = head[k:]
			if room := cap(data) - len(data) - 2; room > 0 {
				k, err := fill(body, s.read[:room])
				data = bhttp.AppendChunk(data, s.read[:k])
				switch {
				case err == io.EOF:
					if ended = cap(data)-len(data) >= 2; ended {
						data = bhttp.AppendEnd(data)
					}
				case err != nil && !began:
					return n.sendBulk(ctx, opened, engineReply(err, false), out)
				case err != nil:
					_ = out.record(s.rec, false) // what was good
					return err
				}
			}
		}
		sent := int(sealer.Next()) + 1
		final := ended && padme.Size(sent) == sent
		s.rec = sealer.AppendRecord(s.rec, data, ended, final)
		if !final && sent%bulkBatch != 0 {
			continue
		}
		if !began {
			header, length := sealer.Header(), int64(-1)
			if final {
				length = int64(len(header) + len(s.rec))
			}
			if err := out.begin(header, sealer.RecordSize(), length); err != nil {
				return err
			}
			began = true
		}
		if err := out.record(s.rec, false); err != nil {
			return err
		}
		if final {
			return nil
		}
		s.rec = s.rec[:0]
	}
}

// fill reads until p is full or r ends. Unlike io.ReadFull it returns what r
// returned, so that a body which broke off (io.ErrUnexpectedEOF) isn't taken for
// one that ended.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = r.Read(p[n:])
		n += k
	}
	if n == len(p) && err == io.EOF {
		err = nil // it comes again
	}
	return n, err
}
