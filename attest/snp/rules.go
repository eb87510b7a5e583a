// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package snp

import (
	"errors"
	"strconv"
	"strings"

	"github.com/sotto-chat/sotto/attest"
)

// Rules is what a policy says about machines of this platform: the JSON object
// under "snp" in [attest.Policy.Platforms]. The zero Rules are the strict ones,
// but for the software, which only a policy can name.
//
// What no rule can allow: debugging, a migration agent, a chip that was told not
// to sign.
type Rules struct {
	// What runs. Each list holds the values that are accepted, in hex.
	Measurements []string `json:"measurements,omitempty"`  // MEASUREMENT, 48 bytes
	IDKeys       []string `json:"id_keys,omitempty"`       // ID_KEY_DIGEST, 48 bytes: whoever holds the key names the software
	AuthorKeys   []string `json:"author_keys,omitempty"`   // AUTHOR_KEY_DIGEST, 48 bytes, of the key above that one
	FamilyIDs    []string `json:"family_ids,omitempty"`    // FAMILY_ID, 16 bytes
	ImageIDs     []string `json:"image_ids,omitempty"`     // IMAGE_ID, 16 bytes
	HostData     []string `json:"host_data,omitempty"`     // HOST_DATA, 32 bytes
	MinGuestSVN  uint32   `json:"min_guest_svn,omitempty"` // GUEST_SVN

	// How new the firmware must be, for each product: "Milan", "Genoa", "Turin".
	// With floors, a product that has none is refused. MinTCB counts for what is
	// reported and committed, and for the launch where MinLaunchTCB says nothing.
	MinTCB       map[string]TCB `json:"min_tcb,omitempty"`
	MinLaunchTCB map[string]TCB `json:"min_launch_tcb,omitempty"`
	MinFirmware  string         `json:"min_firmware,omitempty"` // "1.55.21": major, minor, build

	// RequireMitigations are bits that must be set in both mitigation vectors.
	RequireMitigations uint64 `json:"require_mitigations,omitempty"`

	// How the machine was started and its host set up. A setting that is named
	// must be as it says; see guestBits and platformBits for the names.
	Guest    map[string]bool `json:"guest,omitempty"`
	Platform map[string]bool `json:"platform,omitempty"`
	MinABI   string          `json:"min_abi,omitempty"` // "1.51"
	VMPL     []uint32        `json:"vmpl,omitempty"`    // privilege levels that may ask for a report; [0] if left out

	// Which chips.
	ChipIDs         []string `json:"chip_ids,omitempty"`          // CHIP_ID, 64 bytes; 8 are enough for Turin
	AllowMaskedChip bool     `json:"allow_masked_chip,omitempty"` // the host hides the chip's number
	AllowVLEK       bool     `json:"allow_vlek,omitempty"`        // a key of a cloud operator's, on all its machines
	CSPIDs          []string `json:"csp_ids,omitempty"`           // whose, as the certificate calls them

	// AllowProvisional accepts firmware that the host can still set back.
	AllowProvisional bool `json:"allow_provisional,omitempty"`
	// AllowNoCRL accepts evidence without a revocation list. One that is there counts.
	AllowNoCRL bool `json:"allow_no_crl,omitempty"`
}

// TCB is a floor for the parts of a chip's firmware. FMC is a part of Turin's only.
type TCB struct {
	FMC        uint8 `json:"fmc,omitempty"`
	Bootloader uint8 `json:"bootloader,omitempty"`
	TEE        uint8 `json:"tee,omitempty"`
	SNP        uint8 `json:"snp,omitempty"`
	Microcode  uint8 `json:"microcode,omitempty"`
}

// in writes the floor in a product's layout.
func (t TCB) in(p *product) (out tcb) {
	for i, name := range p.parts {
		switch name {
		case "fmc":
			out[i] = t.FMC
		case "bootloader":
			out[i] = t.Bootloader
		case "tee":
			out[i] = t.TEE
		case "snp":
			out[i] = t.SNP
		case "microcode":
			out[i] = t.Microcode
		}
	}
	return out
}

// bit is one setting: a bit of the guest's policy or of the platform's.
type bit struct {
	name, meaning string
	mask          uint64
}

// guestBits are bits of POLICY (AMD 56860, Guest Policy), but for those that no
// policy can allow.
var guestBits = [...]bit{
	{"smt", "it may share a core between two threads", 1 << 16},
	{"single_socket", "it runs on one processor only", 1 << 20},
	{"cxl", "it may use memory outside the machine's own", 1 << 21},
	{"mem_aes_256_xts", "its memory must be encrypted with AES-256-XTS", 1 << 22},
	{"rapl_dis", "its host must not measure power", 1 << 23},
	{"ciphertext_hiding", "its host must not see even encrypted memory", 1 << 24},
	{"page_swap_disable", "its host must not move pages of its memory", 1 << 25},
}

// platformBits are bits of PLATFORM_INFO (AMD 56860, SNP_REPORT_REQ).
var platformBits = [...]bit{
	{"smt", "cores are shared between two threads", 1 << 0},
	{"tsme", "all memory is encrypted", 1 << 1},
	{"ecc", "memory corrects errors", 1 << 2},
	{"rapl_dis", "power can't be measured", 1 << 3},
	{"ciphertext_hiding", "encrypted memory is hidden from the host", 1 << 4},
	{"alias_check_complete", "memory was checked for aliases at start", 1 << 5},
	{"iommu_write_safe", "devices can't write where they must not", 1 << 6},
	{"tio", "trusted devices can be connected", 1 << 7},
}

// rules are Rules that were read: values are bytes, and a list that is nil asks
// for nothing.
type rules struct {
	Rules
	measurements, idKeys, authorKeys, familyIDs, imageIDs, hostData, chipIDs attest.Values

	minFirmware firmware
	minABI      firmware // without a build
}

// loadRules reads and checks the rules of a policy. What can't be meant, such as
// an empty list, is an error: a rule that a typo turns off is worse than none.
func loadRules(p attest.Policy) (rules, error) {
	var r rules
	if err := p.Rules(Name, &r.Rules); err != nil {
		return rules{}, err
	}
	var err error
	for _, l := range []struct {
		name  string
		from  []string
		to    *attest.Values
		sizes []int
	}{
		{"measurements", r.Measurements, &r.measurements, []int{48}},
		{"id_keys", r.IDKeys, &r.idKeys, []int{48}},
		{"author_keys", r.AuthorKeys, &r.authorKeys, []int{48}},
		{"family_ids", r.FamilyIDs, &r.familyIDs, []int{16}},
		{"image_ids", r.ImageIDs, &r.imageIDs, []int{16}},
		{"host_data", r.HostData, &r.hostData, []int{32}},
		{"chip_ids", r.ChipIDs, &r.chipIDs, []int{64, 8}},
	} {
		if *l.to, err = attest.ReadValues(l.name, l.from, l.sizes...); err != nil {
			return rules{}, err
		}
		for _, b := range *l.to {
			// A report has zeros where there is no key and no number.
			if zero(b) && (l.name == "id_keys" || l.name == "author_keys" || l.name == "chip_ids") {
				return rules{}, errors.New(l.name + " holds zeros, which stand for none")
			}
		}
	}
	for i, b := range r.chipIDs {
		r.chipIDs[i] = append(b, make([]byte, 64-len(b))...) // a Turin's number is short
	}
	if r.CSPIDs != nil && len(r.CSPIDs) == 0 || r.VMPL != nil && len(r.VMPL) == 0 {
		return rules{}, errors.New("csp_ids or vmpl is an empty list")
	}
	if r.VMPL == nil {
		r.VMPL = []uint32{0}
	}
	var ok bool
	if r.minFirmware, ok = version(r.MinFirmware, 3); !ok {
		return rules{}, errors.New("min_firmware is not major.minor.build")
	}
	if r.minABI, ok = version(r.MinABI, 2); !ok {
		return rules{}, errors.New("min_abi is not major.minor")
	}
	for _, m := range []map[string]TCB{r.MinTCB, r.MinLaunchTCB} {
		if m != nil && len(m) == 0 {
			return rules{}, errors.New("min_tcb or min_launch_tcb is empty")
		}
		for name, t := range m {
			if name != "Milan" && name != "Genoa" && name != "Turin" || name != "Turin" && t.FMC != 0 {
				return rules{}, errors.New("min_tcb or min_launch_tcb names a product or a part that is not known")
			}
		}
	}
	for name := range r.Guest {
		if !has(guestBits[:], name) {
			return rules{}, errors.New("guest names a setting that is not known")
		}
	}
	for name := range r.Platform {
		if !has(platformBits[:], name) {
			return rules{}, errors.New("platform names a setting that is not known")
		}
	}
	return r, nil
}

func has(bits []bit, name string) bool {
	for _, b := range bits {
		if b.name == name {
			return true
		}
	}
	return false
}

// version reads n numbers from 0 to 255 with dots between them; "" is all zero.
func version(s string, n int) (f firmware, ok bool) {
	if s == "" {
		return f, true
	}
	parts := strings.Split(s, ".")
	if len(parts) != n {
		return f, false
	}
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 10, 8)
		if err != nil {
			return firmware{}, false
		}
		f[i] = byte(v)
	}
	return f, true
}
