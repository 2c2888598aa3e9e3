/** Users and groups by name, as rules of the policy may have them. */
import { readFileSync } from 'node:fs';

/** Numbers of names; undefined for a name that nobody has. */
export interface OwnerNames {
  user(name: string): number | undefined;
  group(name: string): number | undefined;
}

/** From the texts of passwd(5) and group(5), whose third field is the number. Of a name that comes twice the first counts. */
export function ownerNames(passwd: string, group: string): OwnerNames {
  const users = numbersOf(passwd);
  const groups = numbersOf(group);
  return { user: (name) => users.get(name), group: (name) => groups.get(name) };
}

/** This machine's, without directories elsewhere (LDAP): a policy names those by number. */
export function localOwnerNames(): OwnerNames {
  return ownerNames(textOf('/etc/passwd'), textOf('/etc/group'));
}

function numbersOf(text: string): Map<string, number> {
  const numbers = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [name = '', , number = ''] = line.split(':');
    if (name !== '' && /^\d+$/.test(number) && !numbers.has(name)) numbers.set(name, Number(number));
  }
  return numbers;
}

/** A machine without the file has no names. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
