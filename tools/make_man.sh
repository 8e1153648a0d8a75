#!/bin/sh
# docs/man/*.md as roff, in build/man
set -eu
cd "$(dirname "$0")/.."
mkdir -p build/man
for page in docs/man/*.md; do
    target=build/man/$(basename "$page" .md)
    [ "$target" -nt "$page" ] || pandoc --standalone --from markdown --to man --output "$target" "$page"
done
