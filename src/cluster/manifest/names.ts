/**
 * Names and labels as the API server checks them
 * (apimachinery pkg/util/validation/validation.go); every function returns the API server's
 * sentences, none when the text is good.
 * @module
 */

const LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const SUBDOMAIN = `${LABEL}(\\.${LABEL})*`;
const LABEL_1035 = '[a-z]([-a-z0-9]*[a-z0-9])?';
const QUALIFIED = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]';
const LABEL_VALUE = `(${QUALIFIED})?`;

const DNS_LABEL = new RegExp(`^${LABEL}$`);
const DNS_SUBDOMAIN = new RegExp(`^${SUBDOMAIN}$`);
const DNS_LABEL_1035 = new RegExp(`^${LABEL_1035}$`);
const QUALIFIED_NAME = new RegExp(`^${QUALIFIED}$`);
const VALUE = new RegExp(`^${LABEL_VALUE}$`);

function tooLong(limit: number): string {
  return `must be no more than ${limit} characters`;
}

/** The API server's sentence around a pattern, its double spaces included. */
function patternError(message: string, pattern: string, ...examples: readonly string[]): string {
  const list = examples.map((e) => `'${e}', `).join(' or ');
  return `${message} (e.g. ${list}regex used for validation is '${pattern}')`;
}

/** Nothing wrong: most names, of a million. */
const GOOD: readonly string[] = [];

export function dnsLabelErrors(text: string): readonly string[] {
  if (text.length <= 63 && DNS_LABEL.test(text)) return GOOD;
  return [
    ...(text.length > 63 ? [tooLong(63)] : []),
    ...(DNS_LABEL.test(text)
      ? []
      : [
          patternError(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
            LABEL,
            'my-name',
            '123-abc',
          ),
        ]),
  ];
}

export function dnsSubdomainErrors(text: string): readonly string[] {
  if (text.length <= 253 && DNS_SUBDOMAIN.test(text)) return GOOD;
  return [
    ...(text.length > 253 ? [tooLong(253)] : []),
    ...(DNS_SUBDOMAIN.test(text)
      ? []
      : [
          patternError(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
            SUBDOMAIN,
            'example.com',
          ),
        ]),
  ];
}

/** A host of an Ingress with a wildcard (IsWildcardDNS1123Subdomain). */
export function wildcardSubdomainErrors(text: string): readonly string[] {
  const pattern = `\\*\\.${SUBDOMAIN}`;
  return [
    ...(text.length > 253 ? [tooLong(253)] : []),
    ...(new RegExp(`^${pattern}$`).test(text)
      ? []
      : [
          patternError(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
            pattern,
            '*.example.com',
          ),
        ]),
  ];
}

/** Names of Services. */
export function dnsLabel1035Errors(text: string): readonly string[] {
  return [
    ...(text.length > 63 ? [tooLong(63)] : []),
    ...(DNS_LABEL_1035.test(text)
      ? []
      : [
          patternError(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
            LABEL_1035,
            'my-name',
            'abc-123',
          ),
        ]),
  ];
}

const QUALIFIED_MESSAGE =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/** Label and annotation keys: `[PREFIX/]NAME`. */
export function qualifiedNameErrors(text: string): readonly string[] {
  if (text.length <= 63 && QUALIFIED_NAME.test(text)) return GOOD;
  const parts = text.split('/');
  const sentence = patternError(QUALIFIED_MESSAGE, QUALIFIED, 'MyName', 'my.name', '123-abc');
  if (parts.length > 2) {
    return [
      `a qualified name ${sentence} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  }
  const name = parts.at(-1) ?? '';
  const errors: string[] = [];
  if (parts.length === 2) {
    const prefix = parts[0] ?? '';
    if (prefix === '') errors.push('prefix part must be non-empty');
    else errors.push(...dnsSubdomainErrors(prefix).map((e) => `prefix part ${e}`));
  }
  if (name === '') errors.push('name part must be non-empty');
  else if (name.length > 63) errors.push(`name part ${tooLong(63)}`);
  if (!QUALIFIED_NAME.test(name)) errors.push(`name part ${sentence}`);
  return errors;
}

export function labelValueErrors(text: string): readonly string[] {
  if (text.length <= 63 && VALUE.test(text)) return GOOD;
  return [
    ...(text.length > 63 ? [tooLong(63)] : []),
    ...(VALUE.test(text)
      ? []
      : [
          patternError(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            LABEL_VALUE,
            'MyValue',
            'my_value',
            '12345',
          ),
        ]),
  ];
}

/** Names of container ports, and named ports in policies (IANA service names). */
export function portNameErrors(text: string): readonly string[] {
  const errors: string[] = [];
  if (text.length > 15) errors.push(tooLong(15));
  if (!/^[-a-z0-9]+$/.test(text)) {
    errors.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)');
  }
  if (!/[a-z]/.test(text)) errors.push('must contain at least one letter or number (a-z, 0-9)');
  if (text.includes('--')) errors.push('must not contain consecutive hyphens');
  if (/^-|-$/.test(text)) errors.push('must not begin or end with a hyphen');
  return errors;
}

export function portNumberErrors(port: number): readonly string[] {
  return port >= 1 && port <= 65535 ? [] : ['must be between 1 and 65535, inclusive'];
}

/** A generateName may end in dashes: the API server judges it as if letters followed. */
export function maskTrailingDash(prefix: string): string {
  return prefix.endsWith('-') ? `${prefix.slice(0, -2)}a` : prefix;
}
