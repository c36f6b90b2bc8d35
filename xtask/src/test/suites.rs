//! The table of suites. A new suite is a row here.

use std::process::Command;

use super::parse::Format;
use crate::programs::{DEMO, PROOF};
use crate::setup::Part;
use crate::{setup, sh};

/// What must be there before a suite can run; each is made once, whatever the number of suites.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// A part of the set-up.
    Part(Part),
    /// Random lives of balancers in `target/lives`.
    Lives,
    /// The npm package in `bindings-wasm/dist`.
    NpmPackage,
    /// The Python package in `target/venv`.
    PythonPackage,
    /// A program of `examples`, in `target/demo`.
    Example(&'static str),
}

const PYTHON_PACKAGE: &[Need] = &[Need::Part(Part::Python), Need::PythonPackage];

const NPM_PACKAGE: &[Need] = &[Need::Part(Part::WasmTarget), Need::Part(Part::Node), Need::NpmPackage];
const NPM_TARBALL: &[Need] =
    &[Need::Part(Part::WasmTarget), Need::Part(Part::Node), Need::NpmPackage, Need::Part(Part::Chromium), Need::Lives];
const FOLLOWERS: &[Need] = &[
    Need::Part(Part::WasmTarget),
    Need::Part(Part::Node),
    Need::NpmPackage,
    Need::Part(Part::Python),
    Need::PythonPackage,
    Need::Part(Part::Engines),
    Need::Example("follower-rust"),
];
const UI: &[Need] =
    &[Need::Part(Part::WasmTarget), Need::Part(Part::Node), Need::NpmPackage, Need::Part(Part::Chromium), Need::Example("registry-server")];
const HOSTS: &[Need] = &[
    Need::Part(Part::WasmTarget),
    Need::Part(Part::Node),
    Need::NpmPackage,
    Need::Part(Part::Python),
    Need::PythonPackage,
    Need::Part(Part::Engines),
    Need::Example("registry-server"),
];

/// One suite.
pub struct Suite {
    pub name: &'static str,
    pub what: &'static str,
    pub format: Format,
    pub needs: &'static [Need],
    pub command: fn() -> Command,
    /// Some word on why it cannot run here and need not, such as a tool that is no part of the set-up.
    pub skip: fn() -> Option<&'static str>,
    /// Whether others may run meanwhile: it mostly waits, for servers to start and for leases to end, or for one processor that compiles.
    pub beside: bool,
}

/// Those that run beside others stand early: the longest of them all ends last.
pub const SUITES: &[Suite] = &[
    Suite {
        name: "fmt",
        what: "the Rust sources are formatted",
        format: Format::Check,
        needs: &[],
        command: || cargo(&["fmt", "--all", "--check"]),
        skip: || sh::which("rustfmt").is_none().then_some("rustfmt is not installed"),
        beside: false,
    },
    Suite {
        name: "clippy",
        what: "no lint of clippy fires",
        format: Format::Check,
        needs: &[],
        command: || cargo(&["clippy", "--locked", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]),
        skip: || sh::which("cargo-clippy").is_none().then_some("clippy is not installed"),
        beside: false,
    },
    Suite {
        name: "rust",
        what: "the core, all features",
        format: Format::Cargo,
        needs: &[],
        command: || cargo(&["test", "--no-fail-fast", "--locked", "--package", "callboard", "--all-features"]),
        skip: never,
        beside: false,
    },
    Suite {
        name: "followers",
        what: "the followers of examples, of a real etcd and of servers that break down",
        format: Format::Pytest,
        needs: FOLLOWERS,
        command: || venv("pytest", &["--quiet", "tests/python/test_followers.py"]),
        skip: never,
        beside: true,
    },
    Suite {
        name: "hosts",
        what: "the registries of examples in every host, with the clients of Consul, Eureka, Nacos and DNS",
        format: Format::Pytest,
        needs: HOSTS,
        command: || venv("pytest", &["--quiet", "tests/python/test_hosts.py"]),
        skip: never,
        beside: true,
    },
    Suite {
        name: "stores",
        what: "registries kept in files, SQLite, Redis, etcd and NATS: kills, stops, spoilt files",
        format: Format::Pytest,
        needs: &[Need::Part(Part::Python), Need::Part(Part::Engines), Need::PythonPackage],
        command: || venv("pytest", &["--quiet", "tests/python/test_stores.py"]),
        skip: never,
        beside: true,
    },
    Suite {
        name: "shared",
        what: "several registries over one etcd: servers and etcd killed, frozen and compacted",
        format: Format::Pytest,
        needs: &[Need::Part(Part::Python), Need::Part(Part::Engines), Need::PythonPackage, Need::Example("registry-server")],
        command: || venv("pytest", &["--quiet", "tests/python/test_shared.py"]),
        skip: never,
        beside: true,
    },
    Suite {
        name: "proof",
        what: "vectors, simulator, hostile bytes, limits, tidiness",
        format: Format::Cargo,
        needs: &[],
        command: || {
            let mut cargo = PROOF.cargo("test");
            cargo.arg("--no-fail-fast");
            cargo
        },
        skip: never,
        beside: false,
    },
    Suite {
        name: "lab",
        what: "policies under simulated loads and faults, held to the published figures",
        format: Format::Check,
        needs: &[],
        command: || cargo(&["xtask", "lab", "--quick", "--check"]),
        skip: never,
        beside: false,
    },
    Suite {
        name: "counts",
        what: "a pick costs no more instructions than it did",
        format: Format::Check,
        needs: &[],
        command: || cargo(&["xtask", "counts"]),
        skip: || (!cfg!(target_os = "linux")).then_some("valgrind is for Linux"),
        beside: false,
    },
    Suite {
        name: "prove",
        what: "of the reliability scorecard: wrong picks, laws of merging, bounds of heap and work, in their short form",
        format: Format::Check,
        needs: &[],
        command: || cargo(&["xtask", "prove", "--ci"]),
        skip: never,
        beside: false,
    },
    Suite {
        name: "purity",
        what: "the core as a wasm module imports nothing",
        format: Format::Check,
        needs: &[Need::Part(Part::WasmTarget)],
        command: || cargo(&["xtask", "purity"]),
        skip: never,
        beside: false,
    },
    Suite {
        name: "server",
        what: "the example registry server, killed and started again",
        format: Format::Cargo,
        needs: &[],
        command: || {
            let mut cargo = DEMO.cargo("test");
            cargo.args(["--no-fail-fast", "--bin", "registry-server", "--test", "server"]);
            cargo
        },
        skip: never,
        beside: false,
    },
    Suite {
        name: "hostile",
        what: "requests that nobody should send, over the wire to the hosts of a registry",
        format: Format::Check,
        needs: &[],
        command: || cargo(&["xtask", "hostile", "--count", "6000"]),
        skip: never,
        beside: false,
    },
    Suite {
        name: "clients",
        what: "the clients of examples in Rust, of servers that fail, hang and come back",
        format: Format::Cargo,
        needs: &[],
        command: || cargo(&["test", "--no-fail-fast", "--locked", "--package", "clients-rust"]),
        skip: never,
        beside: false,
    },
    Suite {
        name: "xtask",
        what: "this program",
        format: Format::Cargo,
        needs: &[],
        command: || cargo(&["test", "--no-fail-fast", "--locked", "--package", "xtask"]),
        skip: never,
        beside: false,
    },
    Suite {
        name: "python",
        what: "the Python package in target/venv",
        format: Format::Pytest,
        needs: &[Need::Part(Part::Python), Need::Part(Part::Engines), Need::PythonPackage, Need::Lives],
        command: || {
            venv(
                "pytest",
                &[
                    "--quiet",
                    "tests/python",
                    "--ignore",
                    "tests/python/test_package.py",
                    "--ignore",
                    "tests/python/test_followers.py",
                    "--ignore",
                    "tests/python/test_hosts.py",
                    "--ignore",
                    "tests/python/test_stores.py",
                    "--ignore",
                    "tests/python/test_shared.py",
                ],
            )
        },
        skip: never,
        beside: false,
    },
    Suite {
        name: "pip",
        what: "pip install ./bindings-py into a clean environment",
        format: Format::Pytest,
        needs: PYTHON_PACKAGE,
        command: || venv("pytest", &["--quiet", "tests/python/test_package.py"]),
        skip: never,
        beside: true,
    },
    Suite {
        name: "stubtest",
        what: "the stubs of the Python package say what its module has",
        format: Format::Check,
        needs: PYTHON_PACKAGE,
        command: || python_check("python", &["-m", "mypy.stubtest", "callboard", "--allowlist", "stubtest-allowlist.txt"]),
        skip: never,
        beside: false,
    },
    Suite {
        name: "mypy",
        what: "mypy --strict on the Python package and on a sample that uses its types",
        format: Format::Check,
        needs: PYTHON_PACKAGE,
        command: || python_check("mypy", &["--strict", "python/callboard", "../tests/python/types_sample.py"]),
        skip: never,
        beside: false,
    },
    Suite {
        name: "pyright",
        what: "pyright, strict, on the same",
        format: Format::Check,
        needs: PYTHON_PACKAGE,
        command: || {
            let mut pyright = python_check("pyright", &["python/callboard", "../tests/python/types_sample.py", "--pythonpath"]);
            pyright.arg(setup::python::program("python"));
            pyright
        },
        skip: never,
        beside: false,
    },
    Suite {
        name: "types",
        what: "tsc --strict on a sample that uses the npm package's declarations",
        format: Format::Check,
        needs: NPM_PACKAGE,
        command: || npm_tool("tsc", &["--project", "../tests/js/tsconfig.json"]),
        skip: never,
        beside: false,
    },
    Suite {
        name: "js",
        what: "the npm package in Node",
        format: Format::Node,
        needs: NPM_PACKAGE,
        command: || node_test("tests/js"),
        skip: never,
        beside: false,
    },
    Suite {
        name: "npm-tarball",
        what: "the packed npm package in Node, Deno, Bun, workerd, bundles and Chromium",
        format: Format::Node,
        needs: NPM_TARBALL,
        command: || node_test("tests/packaging"),
        skip: never,
        beside: false,
    },
    Suite {
        name: "ui",
        what: "the page of a registry in Chromium: live hosts, policies, keyboard, contrast, ten thousand instances",
        format: Format::Node,
        needs: UI,
        command: || node_test("tests/ui"),
        skip: never,
        beside: false,
    },
];

fn never() -> Option<&'static str> {
    None
}

fn cargo(args: &[&str]) -> Command {
    let mut cargo = sh::cargo();
    // `--color never` stands before the subcommand; fmt takes it only there.
    cargo.args(args);
    cargo
}

/// A program of `target/venv`.
fn venv(name: &str, args: &[&str]) -> Command {
    let mut program = sh::command(setup::python::program(name));
    program.args(args);
    program
}

/// A program of `target/venv`, run in `bindings-py`, where its settings are.
fn python_check(name: &str, args: &[&str]) -> Command {
    let mut program = venv(name, args);
    program.current_dir(sh::root().join("bindings-py"));
    program
}

/// A program of `bindings-wasm/node_modules`, run in `bindings-wasm`.
fn npm_tool(name: &str, args: &[&str]) -> Command {
    let mut tool = sh::command(setup::node::folder().join("node_modules/.bin").join(name));
    tool.current_dir(setup::node::folder()).args(args);
    tool
}

/// Node's test runner over the `*.test.mjs` files of a folder.
fn node_test(folder: &str) -> Command {
    let mut files: Vec<_> = std::fs::read_dir(sh::root().join(folder))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(".test.mjs"))
        .collect();
    files.sort();
    let mut node = sh::command("node");
    node.args(["--expose-gc", "--test", "--test-reporter=tap"]).args(files);
    node
}
