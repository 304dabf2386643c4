// English: logging in by an OpenID provider. Under the same keys in door-zh.ts.

export const door = {
  'login.oidc': 'Log in with single sign-on',
  'login.or-password': 'or with a password',
  'login.for-administrators': 'With a password: administrators only.',
  'login.password-off': 'With a password only administrators log in here. Use single sign-on.',
  'login.oidc-state':
    'This log-in was not begun in this browser, or it took longer than ten minutes. Begin again.',
  'login.oidc-mixed': 'The answer came from another identity provider than the one asked. Begin again.',
  'login.oidc-denied': 'The identity provider did not let you in, or you cancelled.',
  'login.oidc-code': 'The identity provider did not accept the answer: it was used already or has expired. Begin again.',
  'login.oidc-provider': 'The identity provider cannot be reached or is set up wrongly. Tell your administrator; the log says why.',
  'login.oidc-token': 'The identity provider gave an ID token that cannot be read. Tell your administrator.',
  'login.oidc-algorithm': 'The ID token is not signed, or in a way that is not accepted. Tell your administrator.',
  'login.oidc-key': 'The ID token is signed with a key that the identity provider does not publish. Tell your administrator.',
  'login.oidc-signature': 'The signature of the ID token is wrong. Tell your administrator.',
  'login.oidc-issuer': 'The ID token is from another issuer than the one configured. Tell your administrator.',
  'login.oidc-audience': 'The ID token is for another program. Tell your administrator.',
  'login.oidc-expired': 'The ID token has expired. Begin again; if that does not help, the clocks differ.',
  'login.oidc-not-yet': 'The ID token is from the future: the clocks of provider and collector differ. Tell your administrator.',
  'login.oidc-nonce': 'The ID token belongs to another log-in. Begin again.',
  'login.oidc-subject': 'The ID token names nobody. Tell your administrator.',
  'login.oidc-role': 'You are known to the identity provider, but have no role here. Ask your administrator for one.',
  'login.oidc-disabled': 'Your user is disabled here. Ask your administrator.',
  'login.oidc-busy': 'Too many people are logging in. Try again in a moment.',

  'deed.user-linked': 'User linked to an identity provider',
  'deed.user-unlinked': 'User unlinked from identity providers',
  'deed.user-disabled': 'User disabled',
  'deed.user-enabled': 'User enabled',
} as const;
