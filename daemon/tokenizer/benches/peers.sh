#!/bin/sh
# Counting beside the tiktoken of npm and of PyPI, js-tiktoken, tiktoken-rs and bpe-openai, in one run and on the same files:
#
#     daemon/tokenizer/benches/peers.sh FILE...
#
# Fetches those packages into the target directory, once; needs npm and python3. bpe-openai is built there too, in a project
# of its own, since it takes minutes and 47 MB to build its automata. By the clock, the best of three passes, each counter in a
# process of its own, one after the other; the peak is that process's memory, with the file.
set -eu

[ $# -gt 0 ] || { echo "usage: peers.sh FILE..." >&2; exit 2; }
for file in "$@"; do
    [ -f "$file" ] || { echo "peers.sh: $file: no such file" >&2; exit 2; }
done

root=$(cd "$(dirname "$0")/../../.." && pwd)
peers=${CARGO_TARGET_DIR:-$root/target}/peers
mkdir -p "$peers"
[ -d "$peers/node_modules/js-tiktoken" ] ||
    npm install --prefix "$peers" --no-audit --no-fund --silent tiktoken js-tiktoken
[ -d "$peers/python" ] || {
    python3 -m venv "$peers/python"
    "$peers/python/bin/pip" install --quiet --disable-pip-version-check tiktoken
}

mkdir -p "$peers/bpe-openai/src"
cat > "$peers/bpe-openai/Cargo.toml" <<'TOML'
[package]
name = "peer-bpe-openai"
version = "0.0.0"
edition = "2024"

[workspace]

[dependencies]
bpe-openai = "=0.3.2"

# What builds the automata is slow enough.
[profile.release.build-override]
opt-level = 3
TOML
cat > "$peers/bpe-openai/src/main.rs" <<'RUST'
use std::time::Instant;

fn main() {
    let tokenizer = bpe_openai::o200k_base();
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let (mut best, mut tokens) = (f64::INFINITY, 0);
        for _ in 0..3 {
            let began = Instant::now();
            tokens = tokenizer.count(&*text);
            best = best.min(began.elapsed().as_secs_f64());
        }
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        let speed = text.len() as f64 / best / 1e6;
        println!("bpe-openai 0.3.2\t{path}\t{speed}\t{tokens}\t{}", peak.unwrap_or_default() / 1000.0);
    }
}
RUST
cargo build --quiet --release --manifest-path "$peers/bpe-openai/Cargo.toml" --target-dir "$peers/bpe-openai/target"

cat > "$peers/peer.cjs" <<'JS'
const fs = require("fs");
const [, , name, ...files] = process.argv;
const { version } = JSON.parse(fs.readFileSync(`${__dirname}/node_modules/${name}/package.json`));
const encoding = require(name)[name === "tiktoken" ? "get_encoding" : "getEncoding"]("o200k_base");
for (const file of files) {
  const text = fs.readFileSync(file, "utf8");
  let best = Infinity, tokens = 0;
  for (let pass = 0; pass < 3; pass++) {
    const began = process.hrtime.bigint();
    tokens = (name === "tiktoken" ? encoding.encode_ordinary(text) : encoding.encode(text, [], [])).length;
    best = Math.min(best, Number(process.hrtime.bigint() - began));
  }
  const peak = process.resourceUsage().maxRSS / 1000;
  console.log([`npm ${name} ${version}`, file, Buffer.byteLength(text) * 1000 / best, tokens, peak].join("\t"));
}
JS

cat > "$peers/peer.py" <<'PY'
import importlib.metadata, resource, sys, time
import tiktoken
encoding = tiktoken.get_encoding("o200k_base")
for path in sys.argv[1:]:
    text = open(path, encoding="utf-8", errors="replace", newline="").read()
    best, tokens = float("inf"), 0
    for _ in range(3):
        began = time.perf_counter()
        tokens = len(encoding.encode_ordinary(text))
        best = min(best, time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    name = "PyPI tiktoken " + importlib.metadata.version("tiktoken")
    print(name, path, len(text.encode()) / best / 1e6, tokens, peak, sep="\t")
PY

cd "$root"
# PyPI's fetches its list of tokens; that of tiktoken-rs is the same one, and it checks its hash.
mkdir -p "$peers/tokens"
cargo metadata --format-version 1 --locked | "$peers/python/bin/python" -c '
import hashlib, json, os, shutil, sys
packages = json.load(sys.stdin)["packages"]
rust = next(os.path.dirname(one["manifest_path"]) for one in packages if one["name"] == "tiktoken-rs")
url = b"https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"
shutil.copy(rust + "/assets/o200k_base.tiktoken", sys.argv[1] + "/" + hashlib.sha1(url).hexdigest())
' "$peers/tokens"

cargo bench --quiet -p tokmon-tokenizer --bench count --no-run
printf '%-26s%-30s%8s%10s%9s\n' o200k_base file MB/s tokens 'peak MB'
{
    cargo bench --quiet -p tokmon-tokenizer --bench count -- --peer tokmon "$@"
    cargo bench --quiet -p tokmon-tokenizer --bench count -- --peer tiktoken-rs "$@"
    "$peers/bpe-openai/target/release/peer-bpe-openai" "$@"
    node "$peers/peer.cjs" tiktoken "$@"
    node "$peers/peer.cjs" js-tiktoken "$@"
    TIKTOKEN_CACHE_DIR=$peers/tokens "$peers/python/bin/python" "$peers/peer.py" "$@"
} | while IFS="$(printf '\t')" read -r name file speed tokens peak; do
    printf '%-26s%-30s%8.1f%10d%9.0f\n' "$name" "$(basename "$file" | cut -c -28)" "$speed" "$tokens" "$peak"
done
