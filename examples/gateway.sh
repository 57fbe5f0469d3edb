# The common part of the gateways' `run`: starts the attestation service with its edge, the gateway, and a stand-in for
# an API, all on 127.0.0.1; then sends one request without a proof and one with. `run` has set `example` (its folder),
# `gateway` (the program's name), the function `start`, which runs the gateway in the foreground, and `settings` where the
# service's are not in countersign.toml.

state=$(mktemp -d)

cd "$example/../.."
# Where `cargo xtask setup gateways` puts what is no package of Debian's.
PATH=$PATH:/usr/sbin:$PWD/.cache/envoy/bin
command -v "$gateway" >/dev/null || { echo "$gateway is not installed: cargo xtask setup gateways" >&2; exit 1; }
cargo build --quiet --package countersign-service --bin countersign
countersign=${CARGO_TARGET_DIR:-$PWD/target}/debug/countersign

cp -RL "$example/." "$state"
cd "$state"
service='' running=''
trap 'kill $service $running 2>/dev/null || true; wait; rm -rf "$state"' EXIT
trap 'exit 130' INT TERM
"$countersign" virtual-device roots --seed virtual-device.seed --out . >/dev/null
RUST_LOG=${RUST_LOG:-warn} "$countersign" serve --settings "${settings:-countersign.toml}" &
service=$!
start &
running=$!

tries=0
until curl --silent --fail --output /dev/null http://127.0.0.1:8082/readyz &&
    curl --silent --output /dev/null http://127.0.0.1:8000/; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || { echo "service or $gateway did not start; the lines above say why" >&2; exit 1; }
    sleep 0.1
done

url=http://127.0.0.1:8000/hello
echo "Without a proof:"
curl --silent --show-error --include "$url" | grep -i -e '^HTTP/' -e '^WWW-Authenticate'
echo "With the proof of a virtual iPhone:"
"$countersign" virtual-device headers --seed virtual-device.seed --service http://127.0.0.1:8080 \
    --client-id com.example.app --resource http://127.0.0.1:8000 "$url" |
    curl --silent --show-error --fail --header @- "$url"

[ "${1-}" = --once ] && exit 0
echo "$gateway listens on http://127.0.0.1:8000; files are in $state. Ctrl-C ends."
wait
