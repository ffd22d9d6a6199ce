#!/usr/bin/env bash
# Create .venv with the locked packages, Lava and this project, unless it is there and up to date (then: silence).
#
#   scripts/setup.sh                     with the newest of Python 3.13 to 3.11 on PATH, in pyenv or through uv, else 3.14
#   PYTHON=python3.12 scripts/setup.sh   with this version, looked for in those places; or with a path
#   VENV=elsewhere scripts/setup.sh      in another folder
#   scripts/setup.sh --list              make nothing; print the versions that this machine has, each on a line
#   scripts/setup.sh --find 3.12         make nothing; print the path of this version
#
# Every package is checked against its hash in the locks; nothing else is fetched.
#
# .ready in that folder is written last and identifies what was installed. Without it the folder is what an interrupted
# set-up left, and is made anew.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
umask go-w # nobody else shall write what will be executed, whatever the umask of whoever calls

# The best first: Lava runs on all but the last.
readonly versions="3.13 3.12 3.11 3.14" venv=${VENV:-.venv}
readonly ready=$venv/.ready
export PIP_DISABLE_PIP_VERSION_CHECK=1

fail() {
  echo "error: $*" >&2
  exit 2
}

refuse() {
  fail "a package could not be fetched, or is not the one that was locked (its hash differs); see the lines above"
}

# Of what pip and uv say, counts the packages in one line that grows, and prints what is neither a package nor a detail.
in_short() {
  local line fetched=0 dots=""
  while IFS= read -r line; do
    case $line in
      Collecting* | "Using cached"*) (((fetched += 1) % 10)) || { printf .; dots=1; } ;;
      "  "* | " + "* | " - "* | " ~ "* | Ignoring* | Looking* | Requirement* | "Successfully installed"* | Downloading* | Preparing* | Building*) ;;
      "Installing collected"*) printf ' installing %d packages' "$fetched"; dots=1 ;;
      *) [ -z "$dots" ] || echo; dots=""; echo "$line" ;;
    esac
  done
  [ -z "$dots" ] || echo
}

# Prints "3.13" for an interpreter; fails for one that is absent or, as a pyenv shim can be, there but not working.
version_of() {
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

# Prints the path of an interpreter, outside any virtual environment. Fails if it cannot make one: Debian has the module
# for that in a package of its own. uv needs no such module.
base_of() {
  local needed=sys
  [ -n "$uv" ] || needed=ensurepip
  "$1" -c "import sys, $needed; print(sys._base_executable)" 2>/dev/null
}

# Prints the path of a uv that works.
find_uv() {
  local candidate
  for candidate in uv "$HOME/.local/bin/uv" "$HOME/.cargo/bin/uv"; do
    if "$candidate" --version >/dev/null 2>&1; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

# Prints the path of a Python of version $1. All on PATH are tried, since the first may be a shim that does not work.
find_version() {
  local candidate
  for candidate in $(type -aP "python$1" python3 python) "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python; do
    if [ "$(version_of "$candidate")" = "$1" ] && base_of "$candidate"; then
      return
    fi
  done
  [ -n "$uv" ] && "$uv" python find --system --no-python-downloads "$1" 2>/dev/null
}

# Prints the path of the best Python there is; lets uv fetch one if there is none.
find_best() {
  local version
  for version in $versions; do
    find_version "$version" && return
  done
  [ -n "$uv" ] && "$uv" python install "${versions%% *}" >&2 && find_version "${versions%% *}"
}

find_asked() {
  case $PYTHON in
    3.* | python3.*) find_version "${PYTHON#python}" ;;
    *) base_of "$PYTHON" ;;
  esac
}

uv=$(find_uv) || uv=""
if [ "${1:-}" = --find ]; then
  find_version "${2:-}"
  exit
fi
if [ "${1:-}" = --list ]; then
  for version in $versions; do
    find_version "$version" >/dev/null && echo "$version"
  done
  exit 0
fi
existing=$(version_of "$venv/bin/python") || existing=none
wanted=$existing
if [ -n "${PYTHON:-}" ]; then
  python=$(find_asked) || fail "PYTHON=$PYTHON does not run, or has no venv module; give one of Python $versions, or its path"
  wanted=$(version_of "$python")
  [[ " $versions " = *" $wanted "* ]] || fail "PYTHON=$PYTHON is Python $wanted, expected one of $versions"
fi
state=$({ pwd && cat requirements.lock requirements-nodeps.lock pyproject.toml; } | cksum)
finished=$(cat "$ready" 2>/dev/null) || finished=none
if [ "$finished" = "$state" ] && [ "$existing" = "$wanted" ] && [ "$existing" != none ]; then
  exit 0
fi

if [ -z "${PYTHON:-}" ]; then
  python=$(find_best) || fail "none of Python $versions with its venv module on PATH, in pyenv or through uv;" \
    "install one (on Debian and Ubuntu: apt install python3-venv), or uv"
fi
if [ "$finished" != none ] && [ "$existing" = "$(version_of "$python")" ] && base=$(base_of "$venv/bin/python"); then
  python=$base # an update keeps to the Python it was made with; another of this version may have other files
else
  rm -rf "$venv"
fi
rm -f "$ready"
echo "Installing the locked packages into $venv with $python (once; about 6 GB where torch brings CUDA)"
# Both tools leave what is already right as it is. --no-deps: the locks name all there is to install.
if [ -n "$uv" ]; then
  "$uv" venv --quiet --allow-existing --python "$python" "$venv"
  "$uv" pip install --python "$venv/bin/python" --no-deps --require-hashes -r requirements.lock 2>&1 | in_short || refuse
else
  "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --no-deps --require-hashes -r requirements.lock 2>&1 | in_short || refuse
fi
# pip alone can overrule the Pythons that lava-nc and lava-dl allow. Without isolation, what builds norse is what was locked.
"$venv/bin/python" -m pip install --quiet --no-deps --require-hashes --no-build-isolation --ignore-requires-python \
  -r requirements-nodeps.lock || refuse
"$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation -e .
# With these folders made here, a run under another umask does not make them for everybody to write.
"$venv/bin/python" -m compileall -q recordings backends pipeline spikesam
echo "$state" >"$ready"
