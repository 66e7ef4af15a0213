/**
 * `plan -o image`: what is said of the classes of a host.
 * @module
 */
import t from 'tap';
import { parseStack } from '../../src/dataplane/stack.ts';
import { ClassTables } from '../../src/image/classes/class-tables.ts';
import { World } from '../../src/lab/world.ts';
import { formatImage } from '../../src/report/result/image-listing.ts';
import { twoNodesShop } from '../support/clusters.ts';

t.test('a listing says what each field takes, and who tells its values apart', async (t) => {
  const world = new World({ ...twoNodesShop(), stack: parseStack('azure-bridge+npm') });
  const image = world.topology.hosts('node-a');
  if (image === undefined) throw new Error('there is a node-a');
  const tables = new ClassTables();
  tables.takeIn(image);
  const text = formatImage(tables);
  t.match(text, /^image version 1: 1 host, \d+ bytes\n/);
  for (const line of [
    /^IPv4 destination {2,}\d+ {2,}\d+ {2,}\d+$/m,
    /^TCP destination port {2,}\d+ {2,}\d+ {2,}131072$/m,
    /^ {2}kinds of addresses {2,}\d+ {2,}.*224\.0\.0\.0\/4/m,
    /^ {2}neighbours on azure0 {2,}\d+ {2,}10\.240\.0\.\d+\/32/m,
    /^ {2}set azure-npm-\w+ \(.*\) {2,}\d+ {2,}10\.240/m,
    /^ {2}ports 8080 {2,}1 {2,}8080$/m,
  ]) {
    t.match(text, line);
  }
});
