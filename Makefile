# For people. The steps behind each target are in .ci/.
.DEFAULT_GOAL := help
.PHONY: help run dev test check bench docs clean

SERVER := cargo run --package auterity-server --bin auterity --

help: ## lists the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## builds everything and serves the product on an embedded database with sample data
	@.ci/need run
	@$(SERVER) serve --data ./.auterity --demo

dev: ## like run, and reloads the server and the web UI when their sources change
	@.ci/need dev
	@.ci/dev

test: ## installs what the tests need, runs every test, stops what it started
	@ONLY=$(ONLY) .ci/test

check: ## formatting, lints, licences, layers, sizes, scripts
	@.ci/check

bench: ## measures the engine beside the raw limits of the same database
	@.ci/need bench
	@.ci/services run -- .ci/bench $(ARGS)

docs: ## builds the book and the pages of the crates' public items
	@.ci/need docs
	@.ci/docs

clean: ## removes what the targets above built; keeps ./.auterity, your data
	@.ci/need clean
	cargo clean
	rm -rf docs/book examples/reference-server/web/node_modules examples/reference-server/web/dist
