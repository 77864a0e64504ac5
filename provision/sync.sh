#!/bin/bash
# Bring the host's checkout into the guest, and keep what was edited in the guest. Root runs this script.
#
#   provision/sync.sh NEW [CHECKOUT]   NEW: a folder with the host's checkout as it is now, which is moved away
#   provision/sync.sh undo [CHECKOUT]  take back every edit that was made in the guest
#
# BASE keeps the checkout as it last came from the host, so that for each file it is known which side has changed it:
# a file that only the host has changed is copied; a file that was edited in the guest is kept, and its name is printed.
set -euo pipefail
BASE=/var/lib/loginuid-lab/host

declare -A base=() here=() host=()

# sums ARRAY FOLDER: the SHA-256 sum of each file.
# shellcheck disable=SC2034,SC2004  # `into` names the caller's array, whose keys are paths
sums() {
  local -n into=$1
  local sum path
  while read -r sum path; do into[$path]=$sum; done < <(cd "$2" && find . -type f -print0 | xargs -0r sha256sum)
}

# The checkout holds more than the host's files: a venv, for example. Only the paths that the host knows count.
sums_here() {
  local sum path
  while read -r sum path; do here[$path]=$sum; done < <(
    cd "$1" && for path in "${!base[@]}" "${!host[@]}"; do [ ! -f "$path" ] || printf '%s\0' "$path"; done |
      sort -zu | xargs -0r sha256sum)
}

# give FROM TO PATH...: copy these files, with the present time as theirs, so that what has read the old ones can tell.
give() {
  local from=$1 to=$2; shift 2
  [ $# -gt 0 ] || return 0
  printf '%s\0' "$@" | tar -C "$from" --null -T - -cf - | tar -C "$to" --no-same-owner -xmf -
  (cd "$to" && printf '%s\0' "$@" | xargs -0 chown -h --reference=.)
}

sync() {
  local new=$1 to=$2 path copy=() gone=() kept=()
  if [ ! -e "$to/pyproject.toml" ]; then first "$new" "$to"; return; fi
  sums host "$new"
  if [ -e "$BASE" ]; then sums base "$BASE"; fi
  sums_here "$to"
  for path in "${!host[@]}" "${!base[@]}"; do
    if [ "${host[$path]-}" = "${here[$path]-}" ]; then continue
    elif [ -e "$BASE" ] && [ "${here[$path]-}" != "${base[$path]-}" ]; then kept+=("$path")
    elif [ -n "${host[$path]-}" ]; then copy+=("$path")
    else gone+=("$path"); fi
  done
  give "$new" "$to" "${copy[@]}"
  [ ${#gone[@]} = 0 ] || (cd "$to" && rm -f "${gone[@]}")
  become_base "$new"
  [ ${#copy[@]} = 0 ] || echo "lab: $(unique "${copy[@]}" | wc -l) files came from the host"
  [ ${#kept[@]} = 0 ] || say_kept "${kept[@]}"
}

unique() { printf '%s\n' "$@" | sort -u; }

say_kept() {
  echo "lab: these files were edited in the guest, differ from the host's, and are kept:"
  unique "$@" | sed 's|^\./|  |'
  echo "lab: to take the host's, paste in the guest:  sudo make undo"
}

first() {
  mkdir -p "$2"
  cp -r "$1/." "$2"
  chown -R "${SUDO_UID:-0}:${SUDO_GID:-0}" "$2"
  become_base "$1"
}

become_base() {
  mkdir -p "$(dirname $BASE)"
  rm -rf $BASE
  mv "$1" $BASE
  chown -R 0:0 $BASE
}

undo() {
  local to=$1 path copy=()
  [ -e $BASE ] || { echo "make undo works in the lab's guest. Elsewhere:  git checkout ." >&2; exit 1; }
  sums base $BASE
  sums_here "$to"
  for path in "${!base[@]}"; do [ "${base[$path]}" = "${here[$path]-}" ] || copy+=("$path"); done
  give $BASE "$to" "${copy[@]}"
  if [ ${#copy[@]} = 0 ]; then echo "lab: no file differs from the host's"
  else printf '%s\n' "${copy[@]}" | sort | sed 's|^\./|lab: as on the host again: |'; fi
}

checkout=${2:-$(cat /etc/loginuid-lab 2>/dev/null || echo /vagrant)}
case ${1:?see the head of this file} in
  undo) undo "$checkout" ;;
  *) sync "$(readlink -f "$1")" "$checkout" ;;
esac
if [ -e /run/labd.started ]; then "$checkout/provision/labd-fresh.sh" "$checkout"; fi
