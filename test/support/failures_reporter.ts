/** Names once more, behind everything else, what has failed: who reads the end of a long log sees all of it. */
import type { Reporter, TestModule } from 'vitest/node';

export class FailuresReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const failed = modules.flatMap((module) => [
      ...module.errors().map(({ message }) => `${module.relativeModuleId}: ${message}`),
      ...[...module.children.allTests('failed')].map((test) => `${module.relativeModuleId} > ${test.fullName}`),
    ]);
    if (failed.length > 0) console.log(`Failed:\n${failed.map((name) => `  ${name}\n`).join('')}`);
  }
}
