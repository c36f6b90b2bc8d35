//! `cargo xtask wasm`: the npm package, from the crate to `bindings-wasm/dist`.
//!
//! One crate makes two modules: `core` (registry, query, balancing), small enough for an edge worker, and `full`
//! with other systems' formats and the REST handler. wasm-bindgen runs as a library; wasm-opt, esbuild and tsc
//! come from npm and are driven by `bindings-wasm/build.mjs`.

use std::path::Path;

use crate::setup::wasm_target::{self, Compiler, TARGET};
use crate::setup::{Part, node};
use crate::{Result, sh, ui};

/// Name of the module and cargo features of its crate.
const MODULES: [(&str, &str); 2] = [("core", ""), ("full", "formats,serve,store")];

pub fn command(_: &[String]) -> Result {
    let (compiler, _) = wasm_target::ensure()?;
    if !node::folder().join("node_modules/.callboard-stamp").exists() {
        Part::Node.ensure()?;
    }
    for (name, features) in MODULES {
        compile(compiler, name, features)?;
    }
    let done = sh::must("wasm:  package", sh::command("node").arg("bindings-wasm/build.mjs"))?;
    for line in &done.lines {
        println!("wasm:  {line}");
    }
    println!("wasm:  bindings-wasm/dist is up to date ({})", ui::seconds(done.elapsed));
    Ok(())
}

fn compile(compiler: Compiler, name: &str, features: &str) -> Result {
    // A folder each: the two feature sets would otherwise evict one another's output at every build.
    let target = format!("target/wasm-{name}");
    let mut cargo = compiler.build();
    cargo.args(["--locked", "--profile", "wasm", "--package", "callboard-wasm", "--target-dir", &target, "--features", features]);
    sh::must(&format!("wasm:  compile {name}"), &mut cargo)?;
    let input = sh::root().join(&target).join(TARGET).join("wasm/callboard_wasm.wasm");
    bindgen(&input, &sh::root().join("bindings-wasm/pkg").join(name))
        .map_err(|error| format!("wasm-bindgen on {}: {error:#}", input.display()))?;
    Ok(())
}

fn bindgen(input: &Path, output: &Path) -> Result {
    let mut bindgen = wasm_bindgen_cli_support::Bindgen::new();
    bindgen.bundler(true)?.typescript(true).out_name("callboard").remove_name_section(true).remove_producers_section(true);
    bindgen.input_path(input).generate(output)?;
    Ok(())
}
