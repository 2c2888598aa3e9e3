/** Room of an `ec` volume, in bytes of aggregates: what its directories have, less the redundancy. */
import type { BackingSpace } from '../../base/backing.ts';
import { E, isErrno, type Result } from '../../base/errno.ts';
import type { EcTools } from './cells.ts';

/**
 * Cells spread evenly over the directories, so the fullest one bounds what still fits. Directories on one device share its
 * room. Directories that are away count for nothing; EIO when fewer than k are there.
 */
export function spaceOf({ backing, directories, code }: EcTools): Result<BackingSpace> {
  const { dataCells: k, parityCells: m } = code;
  const present = directories.present();
  if (present.length < k) return E.EIO;
  const found: { readonly device: number; readonly space: BackingSpace }[] = [];
  for (const position of present) {
    const path = directories.root(position);
    const space = backing.space(path);
    const stat = backing.stat(path);
    if (!isErrno(space) && !isErrno(stat)) found.push({ device: stat.device, space });
  }
  if (found.length < k) return E.EIO;
  const shares = found.map(({ device, space: { total, free, available } }) => {
    const sharers = found.filter((other) => other.device === device).length;
    return { total: total / sharers, free: free / sharers, available: available / sharers };
  });
  const data = k / (k + m);
  const total = Math.floor(data * shares.reduce((sum, share) => sum + share.total, 0));
  const least = (word: 'free' | 'available') => Math.min(...shares.map((share) => share[word]));
  const free = Math.min(total, Math.floor(data * shares.length * least('free')));
  const available = Math.min(total, Math.floor(data * shares.length * least('available')));
  return { total, free, available };
}
