#!/usr/bin/env bash
# Installs what this checkout lacks: Node packages, and Debian packages when root. Called by make with what is needed:
#   setup.sh node      the npm packages of package-lock.json, native ones built for this Node
#   setup.sh system    what mounting and the data path use at run time
#   setup.sh demo      what the demo shows the filesystem with
#   setup.sh bench     what the benchmarks compare with
#   setup.sh test      what the end-to-end tests use on top
set -euo pipefail
cd "$(dirname "$0")/.."

SYSTEM_PACKAGES=(fuse3 libisal2)
DEMO_PACKAGES=(attr)
BUILD_PACKAGES=(python3 make g++)
BENCH_PACKAGES=(e2fsprogs xfsprogs gcc libc6-dev mergerfs bindfs glusterfs-server)
TEST_PACKAGES=(python3 attr acl fio rsync git sqlite3 gcc libc6-dev tar xz-utils dcmtk strace e2fsprogs)

have_package() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }

install_packages() {
  command -v dpkg-query >/dev/null || { echo "setup: no dpkg here; install these yourself: $*" >&2; return 0; }
  local missing=()
  for package in "$@"; do have_package "$package" || missing+=("$package"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ]; then
    echo "setup: Debian packages are missing; run: sudo apt-get install ${missing[*]}" >&2
    return 0
  fi
  echo "setup: installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
    { apt-get update -q >/dev/null && apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null; }
}

install_node() {
  local version
  version=$(node --version 2>/dev/null) || { echo "setup: Node.js 20.19 or later is needed (https://nodejs.org)" >&2; exit 1; }
  node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
    { echo "setup: Node.js $version found, 20.19 or later wanted" >&2; exit 1; }
  if [ node_modules/.package-lock.json -nt package-lock.json ] && node -e 'new (require("better-sqlite3"))(":memory:"); require("koffi")' 2>/dev/null; then
    return 0
  fi
  echo "setup: installing npm packages"
  if ! npm ci --no-audit --no-fund --loglevel=error; then
    # The prebuilt SQLite binding could not be downloaded and no compiler was there to build it: get one, try once more.
    install_packages "${BUILD_PACKAGES[@]}"
    npm ci --no-audit --no-fund --loglevel=error
  fi
  node -e 'new (require("better-sqlite3"))(":memory:"); require("koffi")'
  touch node_modules/.package-lock.json
}

for part in "$@"; do
  case $part in
    node) install_node ;;
    system) install_packages "${SYSTEM_PACKAGES[@]}" ;;
    demo) install_packages "${DEMO_PACKAGES[@]}" ;;
    bench) install_packages "${BENCH_PACKAGES[@]}" ;;
    test) install_packages "${TEST_PACKAGES[@]}" ;;
    *) echo "setup: unknown part '$part', expected node, system, demo, bench or test" >&2; exit 2 ;;
  esac
done
