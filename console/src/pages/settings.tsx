// The page /settings.

export function SettingsPage() {
  return (
    <div class="page">
      <h1>Settings</h1>
    </div>
  );
}
