//! `cargo xtask wasm [--small]`: the npm package, from the crate to `bindings-wasm/dist`.
//!
//! `--small` is how it is published: a tenth smaller, the same otherwise, and a standard library takes its time to build.
//!
//! One crate makes two modules: `core` (registry, query, balancing), small enough for an edge worker, and `full`
//! with other systems' formats and the REST handler. wasm-bindgen runs as a library; wasm-opt, esbuild and tsc
//! come from npm and are driven by `bindings-wasm/build.mjs`.

use std::path::Path;

use crate::setup::wasm_target::{self, Compiler, TARGET};
use crate::setup::{Part, node};
use crate::ui::Progress;
use crate::{Result, sh, ui};

/// Name of the module and cargo features of its crate.
const MODULES: [(&str, &str); 2] = [("core", ""), ("full", "formats,serve,store")];

pub fn command(args: &[String]) -> Result {
    let small = match args {
        [] => false,
        [flag] if flag == "--small" => true,
        _ => return Err("wasm [--small]: build the npm package, or build it as it is published".into()),
    };
    let (compiler, _) = wasm_target::ensure()?;
    if small {
        wasm_target::ensure_sources(compiler)?;
    }
    if !node::folder().join("node_modules/.callboard-stamp").exists() {
        Part::Node.ensure()?;
    }
    // Each ends in one long step that keeps one processor busy, so they go side by side.
    let [(core, with), (full, with_all)] = MODULES;
    std::thread::scope(|scope| {
        let beside = scope.spawn(|| compile(Progress::silent(), compiler, core, with, small).map_err(|error| error.to_string()));
        compile(Progress::start("wasm:  compile core and full"), compiler, full, with_all, small)?;
        beside.join().map_err(|_| "the thread of the core module broke down")??;
        Ok::<_, Box<dyn std::error::Error>>(())
    })?;
    let done = sh::must("wasm:  package", sh::command("node").arg("bindings-wasm/build.mjs"))?;
    for line in &done.lines {
        println!("wasm:  {line}");
    }
    println!("wasm:  bindings-wasm/dist is up to date ({})", ui::seconds(done.elapsed));
    Ok(())
}

fn compile(progress: Progress, compiler: Compiler, name: &str, features: &str, small: bool) -> Result {
    // A folder each: the two feature sets would otherwise evict one another's output at every build.
    let target = format!("target/wasm-{name}{}", if small { "-small" } else { "" });
    let mut cargo = compiler.build(small);
    cargo.args(["--locked", "--profile", "wasm", "--package", "callboard-wasm", "--target-dir", &target, "--features", features]);
    sh::must_showing(progress, &format!("wasm:  compile {name}"), &mut cargo)?;
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
