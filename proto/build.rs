//! Compiles `tokmon/v1/*.proto` with protox, so no protoc is needed.

use std::{env, error::Error, fs, path::PathBuf};

const FILES: [&str; 14] = [
    "tokmon/v1/common.proto",
    "tokmon/v1/usage.proto",
    "tokmon/v1/report.proto",
    "tokmon/v1/session.proto",
    "tokmon/v1/budget.proto",
    "tokmon/v1/audit.proto",
    "tokmon/v1/api.proto",
    "tokmon/v1/task.proto",
    "tokmon/v1/token.proto",
    "tokmon/v1/price.proto",
    "tokmon/v1/daemon.proto",
    "tokmon/v1/hook.proto",
    "tokmon/v1/quota.proto",
    "tokmon/v1/statusline.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=tokmon");
    let set = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("tokmon.bin"), prost::Message::encode_to_vec(&set))?;
    tonic_prost_build::configure()
        .build_transport(false)
        .compile_fds(set)?;
    Ok(())
}
