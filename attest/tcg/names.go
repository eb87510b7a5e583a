// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package tcg

// TypeName is what the specification calls a type of events (PFP, section 10.4.1),
// without its prefix, or "" for one that it doesn't name. It is for people who look
// at a log: the browser's core doesn't link it.
func TypeName(typ uint32) string {
	low := [...]string{
		0x01: "POST_CODE", 0x03: "NO_ACTION", 0x04: "SEPARATOR", 0x05: "ACTION", 0x06: "EVENT_TAG",
		0x07: "S_CRTM_CONTENTS", 0x08: "S_CRTM_VERSION", 0x09: "CPU_MICROCODE", 0x0a: "PLATFORM_CONFIG_FLAGS",
		0x0b: "TABLE_OF_DEVICES", 0x0c: "COMPACT_HASH", 0x0d: "IPL", 0x0f: "NONHOST_CODE", 0x10: "NONHOST_CONFIG",
		0x11: "NONHOST_INFO", 0x12: "OMIT_BOOT_DEVICE_EVENTS", 0x13: "POST_CODE2",
	}
	efi := [...]string{
		0x01: "EFI_VARIABLE_DRIVER_CONFIG", 0x02: "EFI_VARIABLE_BOOT", 0x03: "EFI_BOOT_SERVICES_APPLICATION",
		0x04: "EFI_BOOT_SERVICES_DRIVER", 0x05: "EFI_RUNTIME_SERVICES_DRIVER", 0x06: "EFI_GPT_EVENT", 0x07: "EFI_ACTION",
		0x08: "EFI_PLATFORM_FIRMWARE_BLOB", 0x09: "EFI_HANDOFF_TABLES", 0x0a: "EFI_PLATFORM_FIRMWARE_BLOB2",
		0x0b: "EFI_HANDOFF_TABLES2", 0x0c: "EFI_VARIABLE_BOOT2", 0x0d: "EFI_GPT_EVENT2", 0x10: "EFI_HCRTM_EVENT",
		0xe0: "EFI_VARIABLE_AUTHORITY", 0xe1: "EFI_SPDM_FIRMWARE_BLOB", 0xe2: "EFI_SPDM_FIRMWARE_CONFIG",
		0xe3: "EFI_SPDM_DEVICE_POLICY", 0xe4: "EFI_SPDM_DEVICE_AUTHORITY",
	}
	const first = 0x80000000 // of UEFI's; the numbers below wrap around to high ones
	if typ < uint32(len(low)) {
		return low[typ]
	}
	if typ -= first; typ < uint32(len(efi)) {
		return efi[typ]
	}
	return ""
}
