#!/usr/bin/env bash
# Copyright (c) Sotto authors
# SPDX-License-Identifier: Apache-2.0
#
# build.sh builds a real llama-server for tests into .cache/llama-server/VERSION
# and prints the program's path. When it is there already, it only prints.
#
# The parts come from two npm packages, pinned by content: node-llama-cpp holds
# llama.cpp's source as a git bundle, and @node-llama-cpp/linux-x64 holds its
# libraries ready made, so only the server itself is compiled: two minutes on
# two cores, 33 MB kept. Beside it go llama.cpp's tokenizer vocabularies with
# their expected tokens, and its collection of chat templates, which our own
# tokenizers and templates are tested against.
#
# Needs git, npm, cmake, ninja and g++, on Linux x86-64. Set NPM_CACHE_ONLY=1
# to forbid the network.
set -euo pipefail

version=0.5.0-node3.22.1
commit=de3ff815ea7d559ee917f063901b8986f038abc6
source_pkg=node-llama-cpp@3.22.1
source_tgz=node-llama-cpp-3.22.1.tgz
source_sha512=6e5b488a9b9699cd76dc7eed30880318a4ac4ab866865418795502e3c5d38d55bb5c624988927209d95333343f2e25a83e4183a5c2f816f883a60c3ba9f4e20f
libs_pkg=@node-llama-cpp/linux-x64@3.22.1
libs_tgz=node-llama-cpp-linux-x64-3.22.1.tgz
libs_sha512=e6e0820cda9608d7da026f1a47f533c5ba381c1a4a80d17dd640873dea4a86032057638099ab6879f6ce94c8a1b2a0a21f639ddf913f7941d00856df44126e3a

here=$(cd "$(dirname "$0")" && pwd)
cache=$here/../../.cache/llama-server
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
out=$cache/$version

# Two builds at once would undo each other: the second waits, then finds it done.
exec 9>"$cache/.lock"
flock 9

if [[ -x $out/llama-server ]]; then
  echo "$out/llama-server"
  exit 0
fi

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) ;;
  *) echo "build.sh: only Linux x86-64 has prebuilt libraries; set SOTTO_LLAMA_SERVER to a llama-server of yours instead" >&2; exit 1 ;;
esac
for tool in git npm cmake ninja g++ sha512sum; do
  command -v "$tool" >/dev/null || { echo "build.sh: $tool is missing (Debian: apt-get install git npm cmake ninja-build g++ coreutils)" >&2; exit 1; }
done

echo "llama-server: building $version from npm's $source_pkg, about two minutes" >&2
work=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

offline=()
[[ -n ${NPM_CACHE_ONLY:-} ]] && offline=(--offline)
npm pack --silent "${offline[@]}" "$source_pkg" "$libs_pkg" >/dev/null
sha512sum --quiet -c - <<SUMS
$source_sha512  $source_tgz
$libs_sha512  $libs_tgz
SUMS

mkdir source libs dist
tar xzf "$source_tgz" -C source package/llama/gitRelease.bundle
tar xzf "$libs_tgz" -C libs package/bins/linux-x64
git -c advice.detachedHead=false clone -q --no-checkout source/package/llama/gitRelease.bundle src
git -C src -c advice.detachedHead=false checkout -q "$commit"
cp libs/package/bins/linux-x64/*.so dist/
cmake -G Ninja -S "$here" -B build -DLLAMA_SRC="$work/src" -DLLAMA_LIBS="$work/dist" >cmake.log 2>&1 || { cat cmake.log >&2; exit 1; }
nice ninja -C build llama-server >ninja.log 2>&1 || { tail -40 ninja.log >&2; exit 1; }

mkdir dist/vocab dist/templates
for v in llama-spm llama-bpe gpt-2 qwen2 phi-3 deepseek-coder starcoder; do
  cp "src/models/ggml-vocab-$v.gguf" "src/models/ggml-vocab-$v.gguf.inp" "src/models/ggml-vocab-$v.gguf.out" dist/vocab/
done
cp src/models/templates/*.jinja dist/templates/
cp src/LICENSE dist/
cp build/llama-server dist/
env -i dist/llama-server --version >/dev/null 2>&1 || { echo "build.sh: the built server doesn't start" >&2; exit 1; }

rm -rf "$out"
mv dist "$out"
echo "$out/llama-server"
