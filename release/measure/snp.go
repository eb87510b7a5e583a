// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"crypto/sha256"
	"errors"
	"strconv"

	"github.com/sotto-chat/sotto/release/measure/snp"
)

func (s *SNP) compute(r *SNPRules, w *writer) error {
	fw, err := s.Firmware.firmware()
	if err != nil {
		return err
	}
	if s.Features == 0 {
		s.Features = 1
	}
	if s.Host == "" {
		s.Host = snp.QEMU
	}
	if s.Host == snp.EC2 && s.CPU != "" {
		return errors.New("the CPU's model isn't measured with ec2: leave it out")
	}
	c := snp.Config{VCPUs: s.VCPUs, CPU: s.CPU, Features: s.Features, Host: s.Host}
	switch {
	case s.Kernel != nil && s.Disk:
		return errors.New("it has a kernel and a disk to boot from: leave one out")
	case s.Kernel != nil:
		if err := plain("the command line", s.Cmdline); err != nil {
			return err
		}
		b := snp.Boot{Cmdline: s.Cmdline, Initrd: sha256.Sum256(nil)}
		if b.Kernel, err = s.Kernel.digest(); err != nil {
			return err
		}
		w.file("kernel", s.Kernel)
		if s.Initrd != nil {
			if b.Initrd, err = s.Initrd.digest(); err != nil {
				return err
			}
			w.file("initrd", s.Initrd)
		}
		w.in("cmdline", s.Cmdline)
		c.Boot = &b
	case s.Initrd != nil || s.Cmdline != "":
		return errors.New("it has an initrd or a command line and no kernel")
	case !s.Disk:
		return errors.New("it has no kernel: what a disk holds isn't measured, so say \"disk\": true if the firmware itself starts nothing else")
	}
	d, err := snp.Digest(fw, c)
	if err != nil {
		return err
	}
	w.file("firmware", &s.Firmware)
	w.in("vcpus", strconv.Itoa(s.VCPUs))
	w.in("cpu", s.CPU)
	w.in("features", "0x"+strconv.FormatUint(s.Features, 16))
	w.in("host", s.Host)
	w.out("measurement", add(&r.Measurements, d[:]))
	return nil
}
