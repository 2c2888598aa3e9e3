/** What the end of a long log should tell: what has failed, and what passed only when it was run again. */
import type { Reporter, TestModule } from 'vitest/node';

/** Behind the summary. */
export class FailuresReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    tell(
      'Failed',
      modules.flatMap((module) => [
        ...module.errors().map(({ message }) => `${module.relativeModuleId}: ${message}`),
        ...[...module.children.allTests('failed')].map((test) => `${module.relativeModuleId} > ${test.fullName}`),
      ]),
    );
  }
}

/** Before the summary, with which a run ends that passes. */
export class RetriedReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    tell(
      'Passed only when run again, which is a defect of the test or of what it tests',
      modules.flatMap((module) =>
        [...module.children.allTests('passed')]
          .filter((test) => test.diagnostic()?.flaky === true)
          .map((test) => {
            const reason = test.result().errors?.[0]?.message.split('\n')[0]?.slice(0, 300) ?? '';
            return `${module.relativeModuleId} > ${test.fullName}: ${reason}`;
          }),
      ),
    );
  }
}

function tell(title: string, names: readonly string[]): void {
  if (names.length > 0) console.log(`${title}:\n${names.map((name) => `  ${name}\n`).join('')}`);
}
