# Every target sets up what it needs: a venv in .venv, and Debian packages, which root with YES=1 lets it install.
# Paths are relative throughout, so that the checkout's own may hold spaces.

BIN := .venv/bin
# Bytecode saves each command 100 ms and more.
unexport PYTHONDONTWRITEBYTECODE
# GNU make itself defines AS, as the assembler's name.
AS :=
.PHONY: help venv venv-dev demo talk shell doctor ssh undo box disk test test-vm stress coverage bench \
  engines-up engines-down lint docs clean class-kit

help:  ## what there is (this)
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

venv:  ## the commands podmanish, dockerish, labd and lab, in .venv/bin
	@tools/setup venv

venv-dev:
	@tools/setup venv dev

demo:  ## all scenarios: in the Vagrant guest if there is one, else here, as root; ARGS="--auto" and others are lab demo's
	@tools/where demo --lenient $(ARGS)

talk:  ## the same for a speaker, a step at a time, back and forth; ARGS="run shadow"
	@tools/where talk --lenient $(ARGS)

shell:  ## a login to play in by hand, with labd and a watched file; ARGS="--as alice"
	@tools/where shell $(ARGS)

doctor:  ## what that machine can show, and why not
	@tools/where doctor $(ARGS)

ssh:  ## a shell in the guest; AS=dwalsh: as that user
	@tools/where ssh $(AS)

undo:  ## in the guest: take back what was edited there
	@provision/sync.sh undo

box:  ## the guest as a file for others: vagrant boxes, from Debian's packages alone; BOXES="libvirt virtualbox"
	@tools/box $(BOXES)

disk:  ## the same for QEMU without Vagrant; then: make demo WHERE=qemu
	@tools/box disk

class-kit:  ## the lab as two archives in kit/: for students, without solutions, and for their teacher
	@tools/setup venv
	@$(BIN)/python -m tools.class_kit

test-vm:  ## vagrant up, everything in the guest, vagrant destroy; KEEP=1 keeps it
	@tools/test-vm

test:  ## all tests but the long ones; as root, those of the kernel too. ARGS are pytest's; JOBS=2: faster
	@tools/setup wanted $(TEST_PACKAGES)
	@tools/setup venv dev
	@$(BIN)/python -m tools.suite $(ARGS); status=$$?; tools/setup give-back; exit $$status

stress:  ## the long tests: soak, storms of kills, full disks
	@tools/setup root stress
	@tools/setup wanted $(TEST_PACKAGES)
	@tools/setup venv dev
	@$(BIN)/pytest -m stress --timeout 3600 $(ARGS); status=$$?; tools/setup give-back; exit $$status

coverage:  ## the same tests as make test, and which lines of the rooms they reach
	@tools/setup root coverage
	@tools/setup wanted $(TEST_PACKAGES)
	@tools/setup venv dev
	@$(BIN)/python -m tools.cover $(ARGS); status=$$?; tools/setup give-back; exit $$status

bench:  ## the engines beside bwrap, unshare, runc, podman and docker
	@tools/setup root bench
	@tools/setup venv dev
	@$(BIN)/python -m bench.run $(ARGS)

engines-up:  ## the real dockerd and auditd, where none runs, for --engines podman,docker
	@tools/setup root engines-up
	@tools/setup wanted $(ENGINE_PACKAGES)
	@tools/setup venv
	@$(BIN)/python -m scenarios.props.real_daemons up

engines-down:  ## end what engines-up started
	@tools/setup root engines-down
	@$(BIN)/python -m scenarios.props.real_daemons down

lint: venv-dev  ## ruff, mypy, shellcheck, codespell: what .pre-commit-config.yaml names
	@tools/lint

docs:  ## the documentation as a site, in site/
	@tools/setup venv docs
	@tools/site $(ARGS); status=$$?; tools/setup give-back; exit $$status

clean:  ## remove what make made
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis bench/results.json .coverage site ./*.egg-info
	@find . -name __pycache__ -prune -exec rm -rf {} +

BOXES := libvirt virtualbox
TEST_PACKAGES := busybox-static sudo tmux uidmap util-linux
ENGINE_PACKAGES := auditd docker.io docker-cli podman runc uidmap nftables passt slirp4netns
