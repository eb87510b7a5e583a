// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package snp

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/sotto-chat/sotto/release/measure/ovmf"
)

func sections(list ...[3]uint32) (out []ovmf.SEVSection) {
	for _, s := range list {
		out = append(out, ovmf.SEVSection{Address: s[0], Size: s[1], Kind: s[2]})
	}
	return out
}

// Metadata of the firmware that others' published digests are of. Their files
// aren't here, and needn't be: the digest after the firmware's pages is published
// too, and what follows from there depends on the metadata alone. Where the page
// of kernel hashes lies was found by trying all pages that are zeros without a
// kernel; one fits, for all digests of a file.
var (
	// test/fixtures/ovmf_AmdSev_suffix.bin of sev-snp-measure: edk2's AmdSev build
	// with the patches of March 2023.
	amdSev2023 = &ovmf.SEV{
		Sections: sections(
			[3]uint32{0x800000, 0x9000, ovmf.SecMem}, [3]uint32{0x80a000, 0x3000, ovmf.SecMem}, [3]uint32{0x80d000, 0x1000, ovmf.Secrets},
			[3]uint32{0x80e000, 0x1000, ovmf.CPUID}, [3]uint32{0x80f000, 0x1000, ovmf.KernelHashes}, [3]uint32{0x810000, 0x10000, ovmf.SecMem},
		),
		ResetIP: 0x80b004, HashTable: 0x80fc00, HashTableSize: 0x400,
	}
	// tests/measurement/ovmf_AmdSev_suffix.bin of the crate sev: edk2's AmdSev
	// build, with a page for a service module.
	amdSev2024 = &ovmf.SEV{
		Sections: sections(
			[3]uint32{0x800000, 0x9000, ovmf.SecMem}, [3]uint32{0x80a000, 0x3000, ovmf.SecMem}, [3]uint32{0x80d000, 0x1000, ovmf.Secrets},
			[3]uint32{0x80e000, 0x1000, ovmf.CPUID}, [3]uint32{0x80f000, 0x1000, ovmf.SVSMArea}, [3]uint32{0x810000, 0x1000, ovmf.KernelHashes},
			[3]uint32{0x811000, 0xf000, ovmf.SecMem},
		),
		ResetIP: 0x80b004, HashTable: 0x810c00, HashTableSize: 0x400,
	}
	// guest/testdata/ovmf_img_1.json and ovmf_img_2.json of sev-snp-measure-go:
	// Amazon's firmware.
	amazon = &ovmf.SEV{
		Sections: sections(
			[3]uint32{0x800000, 0x9000, ovmf.SecMem}, [3]uint32{0x80a000, 0x3000, ovmf.SecMem}, [3]uint32{0x80d000, 0x1000, ovmf.Secrets},
			[3]uint32{0x80e000, 0x1000, ovmf.CPUID}, [3]uint32{0x80f000, 0x11000, ovmf.SecMem},
		),
		ResetIP: 0x80b004,
	}
)

const (
	firmware2023  = "edcf6d1c57ce868a167c990f58c8667c698269ef9e0803246419eea914186343054d557e1f17acd93b032c106bc70d25"
	firmware2023b = "cab7e085874b3acfdbe2d96dcaa3125111f00c35c6fc9708464c2ae74bfdb048a198cb9a9ccae0b3e5e1a33f5f249819"
	firmware2024  = "086e2e9149ebf45abdc3445fba5b2da8270bdbb04094d7a2c37faaa4b24af3aa16aff8c374c2a55c467a50da6d466b74"
	amazon1       = "a58211791a556a630a4319dc9e2ea96cc0e9784dd9f20a4fadf81b26c98d163fcdcb6703884bbbb80d7b1de45b3d84d0"
	amazon2       = "2027a27bb9f7acfd280e4c7bd68a73973b94bf0756e5b282e004b9395f597b8d0eb4defa7d8f6549375aa4d2b146f0f3"
)

// TestPublished: digests that three other programs' tests expect.
func TestPublished(t *testing.T) {
	// Their kernel and initial RAM disk are /dev/null.
	boot := func(cmdline string) *Boot {
		return &Boot{Kernel: sha256.Sum256(nil), Initrd: sha256.Sum256(nil), Cmdline: cmdline}
	}
	for _, v := range []struct {
		name     string
		firmware string
		sev      *ovmf.SEV
		c        Config
		want     string
	}{
		// virtee/sev-snp-measure, tests/test_guest.py
		{"test_snp_ovmf_hash_gen", firmware2023b, amdSev2023, Config{1, "EPYC-v4", 1, QEMULegacy, boot("")},
			"db06fb267824b1ccb56edbe2a9c2ce88841bca5090dc6dac91d9cd30f3c2c0bf42daccb30d55d6625bfbf0dae5c50c6d"},
		{"test_snp_ovmf_hash_full, test_snp", firmware2023, amdSev2023, Config{1, "EPYC-v4", 1, QEMULegacy, boot("console=ttyS0 loglevel=7")},
			"f07864303ad8243132029e8110b92805c78d1135a15da75f67abb9a711d78740347f24ee76f603e650ec4adf3611cc1e"},
		{"test_snp_ec2", firmware2023, amdSev2023, Config{1, "", 1, EC2, boot("")},
			"760b6e51039d2d6c1fc6d38ca5c387967d158e0294883e4522c36f89bd61bfc9cdb975cd1ceedffbe1b23b1daf4e3f42"},
		{"test_snp_without_kernel", firmware2023, amdSev2023, Config{1, "EPYC-v4", 1, QEMULegacy, nil},
			"e5e6be5a8fa6256f0245666bb237e2d028b7928148ce78d51b8a64dc9506c377709a5b5d7ab75554593bced304fcff93"},
		{"test_snp_with_multiple_vcpus", firmware2023, amdSev2023, Config{4, "EPYC-v4", 1, QEMULegacy, boot("")},
			"1c784beb8c49aa604b7fd57fbc73b36ec53a3f5fb48a2b895ad6cc2ea15d18ee7cc15e3e57c792766b45f944c3e81cfe"},
		// virtee/sev, tests/measurement.rs
		{"test_snp_ovmf_hash_gen_snp_only", firmware2024, amdSev2024, Config{1, "EPYC-v4", 1, QEMU, boot("")},
			"ddc5224521617a536ee7ce9dd6224d1b58a8d4fda1c741f3ac99fc4bfa04ba6e9fc98646d4a07a9079397fa3852819b5"},
		{"test_snp_ovmf_hash_gen_default", firmware2024, amdSev2024, Config{1, "EPYC-v4", 0x21, QEMU, boot("")},
			"329c8ce0972ae52343b64d34a434a86f245dfd74f5ed7aae15d22efc78fb9683632b9b50e4e1d7fa41179ef98a7ef198"},
		{"test_snp_ovmf_hash_full_snp_only", firmware2024, amdSev2024, Config{1, "EPYC-v4", 1, QEMU, boot("console=ttyS0 loglevel=7")},
			"6d287813eb5222d770f75005c664e34c204f385ce832cc2ce7d0d6f354454362f390ef83a92046c042e706363b4b08fa"},
		{"test_snp_ovmf_hash_full_default", firmware2024, amdSev2024, Config{1, "EPYC-v4", 0x21, QEMU, boot("console=ttyS0 loglevel=7")},
			"803f691094946e42068aaa3a8f9e26a5c89f36f7b73ecfb28c653360fe4b3aba7e534442e7e1e17895dfe778d0228977"},
		{"test_snp_ec2_snp_only", firmware2024, amdSev2024, Config{1, "", 1, EC2, boot("")},
			"7d3756157c805bf6adf617064c8552e8c1688fa1c8756f11cbf56ba5d25c9270fb69c0505c1cbe1c5c66c0e34c6ed3be"},
		{"test_snp_ec2_default", firmware2024, amdSev2024, Config{1, "", 0x21, EC2, boot("")},
			"6ae80856486b1396af8c82a40351d6ed76a20c785e9c7fa4ffa27c22d5d6313b4b3b458cd3c9968e6f89fb5d8450d7a6"},
		{"test_snp_without_kernel_snp_only", firmware2024, amdSev2024, Config{1, "EPYC-v4", 1, QEMU, nil},
			"19358ba9a7615534a9a1e2f0dfc29384dcd4dcb7062ff9c6013b26869a5fc6ecabe033c48dd6f6db5d6d76e7c5df632d"},
		{"test_snp_without_kernel_default", firmware2024, amdSev2024, Config{1, "EPYC-v4", 0x21, QEMU, nil},
			"e1e1ca029dd7973ab9513295be68198472dcd4fc834bd9af9b63f6e8a1674dbf281a9278a4a2ebe0eed9f22adbcd0e2b"},
		{"test_snp_with_multiple_vcpus_snp_only", firmware2024, amdSev2024, Config{4, "EPYC-v4", 1, QEMU, boot("")},
			"5061fffb019493a903613d56d54b94912a1a2f9e4502385f5c194616753720a92441310ba6c4933de877c36e23046ad5"},
		{"test_snp_with_multiple_vcpus_default", firmware2024, amdSev2024, Config{4, "EPYC-v4", 0x21, QEMU, boot("")},
			"4953b1fb416fa874980e8442b3706d345926d5f38879134e00813c5d7abcbe78eafe7b422907be0b4698e2414a631942"},
		// virtee/sev-snp-measure-go, guest/guest_test.go
		{"TestLaunchDigestFromMetadataWrapper 1", amazon1, amazon, Config{2, "", 1, EC2, nil},
			"4c6e33087d08fa770259484dddbef367086a15c3e2cf10038dc97229d39c942671c2e22b300178f8de594a3f2fa59303"},
		{"TestLaunchDigestFromMetadataWrapper 2", amazon2, amazon, Config{2, "", 1, EC2, nil},
			"c2c84b9364fc9f0f54b04534768c860c6e0e386ad98b96e8b98eca46ac8971d05c531ba48373f054c880cfd1f4a0a84e"},
	} {
		seed, err := hex.DecodeString(v.firmware)
		if err != nil {
			t.Fatal(err)
		}
		got, err := from(launch(seed), v.sev, v.c)
		if err != nil || hex.EncodeToString(got[:]) != v.want {
			t.Errorf("%s: %x, %v; published is %s", v.name, got, err, v.want)
		}
	}
}
