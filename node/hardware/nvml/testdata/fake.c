// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// A stand-in for libnvidia-ml.so.1. What its GPUs say lies in files beside it, and
// how it misbehaves in one called "how".
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct settings { unsigned version, environment, ccFeature, devToolsMode, multiGpuMode; };
struct certificate { unsigned size, attestationSize; unsigned char chain[0x1000], attestationChain[0x1400]; };
struct report { unsigned isCec, size, cecSize; unsigned char nonce[0x20], report[0x2000], cec[0x1000]; };

static int started, asked;
static char devices[32];

static unsigned load(const char *name, void *to, unsigned most) {
	char path[4096];
	Dl_info info;
	if (!dladdr(&started, &info)) return 0;
	snprintf(path, sizeof path, "%s.%s", info.dli_fname, name);
	FILE *f = fopen(path, "rb");
	unsigned n = f ? fread(to, 1, most, f) : 0;
	if (f) fclose(f);
	return n;
}

static unsigned loadOf(const char *name, long device, void *to, unsigned most) {
	char numbered[64];
	snprintf(numbered, sizeof numbered, "%s%ld", name, device);
	return load(numbered, to, most);
}

// how returns the number after a word in the file, or other.
static long how(const char *word, long other) {
	char text[256] = {0};
	load("how", text, sizeof text - 1);
	char *at = strstr(text, word);
	return at ? strtol(at + strlen(word), 0, 0) : other;
}

int nvmlInit_v2(void) {
	if (how("fail-init ", 0)) return 9;
	started++;
	return 0;
}

int nvmlShutdown(void) { return --started != 0; }

int nvmlDeviceGetCount_v2(unsigned *n) {
	if (how("fail-count ", 0)) return 9;
	*n = how("count ", 1);
	return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **device) {
	if (how("fail-handle ", 0)) return 9;
	*device = devices + i;
	return 0;
}

int nvmlSystemGetConfComputeSettings(struct settings *s) {
	if (how("fail-settings ", 0)) return 9;
	asked++;
	if (s->version != (sizeof *s | 1 << 24) || started != 1) return 25;
	s->environment = 2;
	s->ccFeature = how("cc ", 1);
	s->devToolsMode = asked > how("tools-after ", 99);
	s->multiGpuMode = how("multi ", 0);
	return 0;
}

int nvmlDeviceGetConfComputeGpuAttestationReport(char *device, struct report *r) {
	if (how("fail-report ", 0)) return 9;
	r->size = how("report-size ", loadOf("report", device - devices, r->report, sizeof r->report));
	memset(r->cec, 0xff, sizeof r->cec);
	return 0;
}

#ifndef OLD
int nvmlDeviceGetConfComputeGpuCertificate(char *device, struct certificate *c) {
	if (how("fail-chain ", 0)) return 9;
	memset(c->chain, 0xff, sizeof c->chain);
	c->attestationSize = how("chain-size ", loadOf("chain", device - devices, c->attestationChain, sizeof c->attestationChain));
	return 0;
}
#endif
