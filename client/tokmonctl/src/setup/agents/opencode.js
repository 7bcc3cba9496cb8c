// tokmon: asks before each call of a model whether the budgets have room. `tokmonctl setup opencode` writes this file,
// `tokmonctl setup opencode --undo` removes it.
import { spawn } from "node:child_process"
import { homedir } from "node:os"
import { join } from "node:path"

const PROGRAM = "TOKMONCTL"
const PATIENCE_MS = 5000
// Where OpenCode keeps its sessions: the daemon reads the last call there before it answers.
const SESSIONS = join(process.env.XDG_DATA_HOME || join(homedir(), ".local", "share"), "opencode")

// What tokmonctl says: nothing when the call may be made. When it cannot be run the call is made, as with any hook.
const ask = (message) =>
  new Promise((resolve) => {
    const child = spawn(PROGRAM, ["hook", "opencode"], { stdio: ["pipe", "pipe", "pipe"] })
    const late = setTimeout(() => child.kill(), PATIENCE_MS)
    let out = ""
    let err = ""
    child.stdout.on("data", (data) => (out += data))
    child.stderr.on("data", (data) => (err += data))
    child.stdin.on("error", () => {})
    child.on("error", () => {
      clearTimeout(late)
      resolve("")
    })
    child.on("close", (code) => {
      clearTimeout(late)
      if (code === 2) return resolve(err.trim() || "denied by tokmon")
      try {
        const answer = JSON.parse(out)
        resolve(answer.decision === "block" ? answer.reason : "")
      } catch {
        resolve("")
      }
    })
    child.stdin.end(JSON.stringify(message))
  })

export const Tokmon = async ({ directory }) => ({
  "chat.params": async (input) => {
    const reason = await ask({
      hook_event_name: "chat.params",
      session_id: input.sessionID,
      cwd: directory,
      transcript_path: SESSIONS,
      provider: input.model?.providerID ?? input.provider?.info?.id,
      model: input.model?.modelID ?? input.model?.id,
    })
    if (reason) throw new Error(reason)
  },
})
