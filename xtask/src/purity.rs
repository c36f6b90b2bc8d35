//! `cargo xtask purity`: the core does no I/O, because it has no way to.
//!
//! Builds `tests/purity`, which reaches everything the core can do, for wasm32-unknown-unknown and reads the module:
//! what it imports is all that it could ask of a machine. It must import nothing.

use crate::setup::wasm_target::{self, TARGET};
use crate::{Result, sh, ui};

pub fn command(_: &[String]) -> Result {
    let (compiler, _) = wasm_target::ensure()?;
    let mut cargo = compiler.build(false);
    cargo.args(["--locked", "--profile", "proof", "--package", "callboard-purity", "--target-dir", "target/purity"]);
    let done = sh::must("purity: compile", &mut cargo)?;
    let module = sh::root().join("target/purity").join(TARGET).join("proof/callboard_purity.wasm");
    let bytes = std::fs::read(&module)?;
    let found = sections(&bytes)?;
    let size = |id: u8| found.iter().find(|section| section.id == id).map_or(&[][..], |section| section.content);
    let imports = names(size(IMPORT))?;
    if !imports.is_empty() {
        return Err(format!("the core's module imports {}", imports.join(", ")).into());
    }
    // A module that the linker emptied would prove nothing.
    if size(CODE).len() < 200_000 {
        return Err(format!("only {} bytes of code: the module does not reach the core", size(CODE).len()).into());
    }
    println!("purity: {} KiB of code, no import ({})", size(CODE).len() / 1024, ui::seconds(done.elapsed));
    Ok(())
}

/// Ids of sections, from the WebAssembly core specification, 5.5.2.
const IMPORT: u8 = 2;
const CODE: u8 = 10;

struct Section<'a> {
    id: u8,
    content: &'a [u8],
}

/// The sections of a module.
fn sections(module: &[u8]) -> Result<Vec<Section<'_>>> {
    let mut rest = module.strip_prefix(b"\0asm\x01\0\0\0").ok_or("not a wasm module of version 1")?;
    let mut found = Vec::new();
    while let Some((&id, after)) = rest.split_first() {
        rest = after;
        let length = number(&mut rest)?;
        let (content, after) = rest.split_at_checked(length).ok_or("a section is cut short")?;
        found.push(Section { id, content });
        rest = after;
    }
    Ok(found)
}

/// The `module.name` of every import.
fn names(mut section: &[u8]) -> Result<Vec<String>> {
    if section.is_empty() {
        return Ok(Vec::new());
    }
    let count = number(&mut section)?;
    let mut found = Vec::new();
    for _ in 0..count {
        let mut name = || -> Result<String> {
            let length = number(&mut section)?;
            let (text, after) = section.split_at_checked(length).ok_or("a name is cut short")?;
            section = after;
            Ok(String::from_utf8_lossy(text).into_owned())
        };
        found.push(format!("{}.{}", name()?, name()?));
        // What is imported: functions carry an index, the other kinds a type that we need not know.
        match section.split_first() {
            Some((0, after)) => {
                section = after;
                number(&mut section)?;
            }
            _ => {
                found.push("and more".into());
                break;
            }
        }
    }
    Ok(found)
}

/// An unsigned LEB128 of 32 bits.
fn number(bytes: &mut &[u8]) -> Result<usize> {
    let mut value = 0u64;
    for shift in (0..35).step_by(7) {
        let (&byte, after) = bytes.split_first().ok_or("a number is cut short")?;
        *bytes = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(usize::try_from(value)?);
        }
    }
    Err("a number is too long".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_found() {
        // (module (import "env" "now" (func)))
        let module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x0b\x01\x03env\x03now\0\0";
        let found = sections(module).expect("a module");
        assert_eq!(found.iter().map(|section| section.id).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(names(found[1].content).expect("names"), ["env.now"]);
        assert!(names(b"").expect("names").is_empty());
        assert!(sections(b"\0asm\x02\0\0\0").is_err());
        assert!(sections(&module[..module.len() - 1]).is_err());
        assert!(names(b"\x01\x03en").is_err());
    }
}
