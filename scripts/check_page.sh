#!/usr/bin/env bash
# Lint and check the formatting of the page's scripts and styles (check), or format them (format), where node is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! command -v npm >/dev/null; then
  echo "the page's scripts are not checked: needs node with npm"
  exit 0
fi
# npm notes here what it installed last.
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  npm ci --silent --no-audit --no-fund
fi
npm run --silent "$1" -- --colors=off --log-level=warn
