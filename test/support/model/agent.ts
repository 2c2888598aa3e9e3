/**
 * Runs one phase against a mount. It is a program of its own because it touches the mount: see mount_harness.ts.
 * usage: node dist/test/support/model/agent.js PHASE-OPTIONS-AS-JSON; prints a PhaseResult as JSON.
 */
import { type PhaseOptions, runPhase } from './run.ts';

const options = JSON.parse(process.argv[2] ?? '') as PhaseOptions;
process.stdout.write(`${JSON.stringify(runPhase(options))}\n`);
